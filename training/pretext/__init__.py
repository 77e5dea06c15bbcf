"""Tasks that need no label: each a file, each a weight in the config, each switched off by the weight 0."""
