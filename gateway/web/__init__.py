"""The HTTP edge: API, webhooks, operator pages."""
