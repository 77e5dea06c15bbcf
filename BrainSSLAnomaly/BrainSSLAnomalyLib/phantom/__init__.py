"""The synthetic patient of demo, tutorial, setup check and tests, and how it is drawn."""

from .lesions import LESIONS
from .patient import synthetic_patient

__all__ = ["LESIONS", "synthetic_patient"]
