"""What every room may lean on: the types of a study and its results, settings, errors, grids and files."""
