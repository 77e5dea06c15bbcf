"""The live half: anomaly maps and settings in, mask and findings out."""

from .segmenter import Segmenter, segment

__all__ = ["Segmenter", "segment"]
