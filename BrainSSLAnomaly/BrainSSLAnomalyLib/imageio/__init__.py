"""Placeholder while this room is being built."""
