"""Ctrl-C on the command line: at once where that is safe, else as soon as it is."""

from __future__ import annotations

import _thread
import signal
import threading
import traceback
from types import FrameType

from ..core.errors import Cancelled

AGAIN_SECONDS = 0.1
"""How long after a Ctrl-C in the middle of an import the next try is made."""

_asked = threading.Event()


def listen() -> None:
    """From now on Ctrl-C is answered here; to be called by the main thread."""
    signal.signal(signal.SIGINT, _on_interrupt)


def asked() -> bool:
    """Whether Ctrl-C was pressed."""
    return _asked.is_set()


def check() -> None:
    """Stop where Ctrl-C was pressed and a library has swallowed the exception.

    Raises:
        Cancelled: it was.
    """
    if asked():
        raise Cancelled


def _on_interrupt(_: int, frame: FrameType | None) -> None:
    """Stop at once; but let an import finish first: an exception that passes through that of PyTorch aborts the process."""
    _asked.set()
    if any(
        "importlib._bootstrap" in caller.f_code.co_filename
        for caller, _ in traceback.walk_stack(frame)
    ):
        again = threading.Timer(AGAIN_SECONDS, _interrupt)
        again.daemon = True
        again.start()
        return
    raise KeyboardInterrupt


def _interrupt() -> None:
    """Like Ctrl-C. A signal to the main thread wakes it where it sleeps or waits, which ``interrupt_main`` does on Windows alone."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
