"""The slow path in a process of its own: start it, follow it, stop it, and say what became of it."""

from .job import (
    LOG,
    MESSAGES,
    Job,
    JobFailed,
    JobState,
    Status,
    end_tree,
    new_scratch,
    start_detection,
    start_explanation,
    write_request,
)

__all__ = [
    "LOG",
    "MESSAGES",
    "Job",
    "JobFailed",
    "JobState",
    "Status",
    "end_tree",
    "new_scratch",
    "start_detection",
    "start_explanation",
    "write_request",
]
