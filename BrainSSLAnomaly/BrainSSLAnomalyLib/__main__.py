"""``python -m BrainSSLAnomalyLib``: the command line."""

from .cli.app import main

main()
