"""From prepared images to anomaly maps."""
