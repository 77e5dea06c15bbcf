"""The pipeline that joins preparation, network and scoring, and the detectors behind one interface."""
