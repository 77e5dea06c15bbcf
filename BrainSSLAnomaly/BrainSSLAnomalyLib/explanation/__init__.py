"""Explanations of single findings: Grad-CAM, attention, and their files."""

from .finding import Explanation, explain_findings
from .saved import explain_results

__all__ = ["Explanation", "explain_findings", "explain_results"]
