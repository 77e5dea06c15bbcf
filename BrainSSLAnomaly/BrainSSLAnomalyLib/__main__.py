"""``python -m BrainSSLAnomalyLib``: the command line."""

from .cli import main

main()
