"""The trainer, its configs and its checkpoints."""
