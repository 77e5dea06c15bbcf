"""What a finding rests on: the network is asked again, about one finding at a time."""

from .finding import Explanation, explain_findings
from .saved import explain_results

__all__ = ["Explanation", "explain_findings", "explain_results"]
