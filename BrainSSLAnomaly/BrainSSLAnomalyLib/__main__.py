"""The command line as a module: ``python -m BrainSSLAnomalyLib``."""

from .cli.app import main

main()
