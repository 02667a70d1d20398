"""Events out: CloudEvents over HTTP, signed as Standard Webhooks has it."""
