"""The synthetic patient of demo, tutorial, setup check and tests."""

from .patient import LESIONS, synthetic_patient

__all__ = ["LESIONS", "synthetic_patient"]
