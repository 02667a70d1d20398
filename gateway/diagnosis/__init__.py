"""From windows to failure modes: features, models, fusion."""
