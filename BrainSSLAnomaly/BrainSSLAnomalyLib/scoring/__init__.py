"""Scores from arrays: reconstruction error, statistics, asymmetry, fusion, calibration."""
