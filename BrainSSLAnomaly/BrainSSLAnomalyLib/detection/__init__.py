"""The pipeline that joins preparation, network and scoring, and the two detectors."""
