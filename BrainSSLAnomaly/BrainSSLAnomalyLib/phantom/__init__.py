"""The synthetic patient of demo, tutorial, setup check and tests."""
