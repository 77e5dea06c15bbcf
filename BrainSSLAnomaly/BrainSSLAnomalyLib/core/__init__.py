"""What every room may lean on: types of studies and results, settings, errors, grids, files."""
