"""What went wrong in a worker, in one sentence with the next step."""

from __future__ import annotations

import errno
import signal

from ..core.errors import BrainSSLAnomalyError, Cancelled

START_AGAIN = "start the detection again, and report it with the log if it happens twice"
OUT_OF_MEMORY = (
    "There was not enough memory: close other programs, or give scans with fewer voxels, and start "
    "again."
)

_MEMORY_WORDS = (
    "MemoryError",
    "bad_alloc",
    "Failed to allocate memory",
    "Unable to allocate",
    "Cannot allocate memory",
    "failed to map segment",
    "can't start new thread",
    "Memory allocation still failed",
    "pthread_create failed",
)
"""How libraries say that memory ran out."""


class JobFailed(BrainSSLAnomalyError):
    """Report that a worker brought no results, why, and what to do."""


def explain_error(error: BaseException) -> tuple[str, str]:
    """Return kind and sentence of an error in the worker.

    Returns:
        ``cancelled``, ``refused``, ``memory``, ``disk``, ``missing`` or ``broken``; and one
        sentence with the next step.
    """
    text = " ".join(str(error).split())
    if isinstance(error, Cancelled):
        return "cancelled", str(error)
    if isinstance(error, BrainSSLAnomalyError):
        return "refused", str(error)
    if isinstance(error, MemoryError) or is_about_memory(text):
        return "memory", OUT_OF_MEMORY
    disk_errors = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
    if isinstance(error, OSError) and error.errno in disk_errors:
        return (
            "disk",
            "The disk with the temporary files is full: free some space and start again.",
        )
    if isinstance(error, ImportError):
        package = error.name or text
        return (
            "missing",
            f"The Python package {package} is missing or broken: install what the setup check "
            "names and start again.",
        )
    return (
        "broken",
        f"Something went wrong that should not ({type(error).__name__}: {text[:200]}): report it "
        "with the log.",
    )


def explain_exit(code: int, log: str) -> str:
    """Return a sentence for a worker that ended without a message.

    Args:
        code: its exit code; negative for a signal.
        log: the end of what it printed.
    """
    if code == 0:
        return f"The worker ended without results: {START_AGAIN}."
    if is_about_memory(log):
        return OUT_OF_MEMORY
    if code == -getattr(signal, "SIGKILL", 9):
        return (
            "The worker was ended from outside, most likely because memory ran out: close other "
            "programs, or give scans with fewer voxels, and start again."
        )
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return f"The worker ended unexpectedly ({how}): {START_AGAIN}."


def is_about_memory(text: str) -> bool:
    """Return whether a message or a log says that memory ran out."""
    return any(sign in text for sign in _MEMORY_WORDS)
