"""The slow path in a process of its own: start it, follow it, stop it, explain its failure."""

from .explanation_request import ExplanationRequest
from .failure import JobFailed
from .job import Job, JobState, Status
from .start import start_detection, start_explanation

__all__ = [
    "ExplanationRequest",
    "Job",
    "JobFailed",
    "JobState",
    "Status",
    "start_detection",
    "start_explanation",
]
