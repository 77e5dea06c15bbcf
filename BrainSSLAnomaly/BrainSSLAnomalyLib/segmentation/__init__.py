"""The live half: thresholds, morphology and findings, in milliseconds."""

from .segmenter import Segmenter, segment

__all__ = ["Segmenter", "segment"]
