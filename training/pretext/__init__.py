"""Pretext tasks, which need no label.

Each is a file, and a weight in the config; the weight 0 switches it off.
"""
