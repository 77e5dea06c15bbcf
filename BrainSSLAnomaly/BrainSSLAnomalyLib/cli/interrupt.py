"""Ctrl-C on the command line: at once where that is safe, else as soon as it is."""

from __future__ import annotations

import _thread
import signal
import threading
import traceback
from types import FrameType

from ..core.errors import Cancelled

RETRY_SECONDS = 0.1
"""After Ctrl-C in the middle of an import, the next try is made this much later."""

_was_pressed = threading.Event()


def install_handler() -> None:
    """Handle Ctrl-C from now on; to be called by the main thread."""
    signal.signal(signal.SIGINT, _on_interrupt)


def was_pressed() -> bool:
    """Return whether Ctrl-C was pressed."""
    return _was_pressed.is_set()


def raise_if_pressed() -> None:
    """Stop where Ctrl-C was pressed and a library has swallowed the exception.

    Raises:
        Cancelled: it was.
    """
    if was_pressed():
        raise Cancelled


def _on_interrupt(_: int, frame: FrameType | None) -> None:
    """Stop at once, but let an import finish: an exception within PyTorch's aborts the process."""
    _was_pressed.set()
    callers = (caller.f_code.co_filename for caller, _ in traceback.walk_stack(frame))
    if any("importlib._bootstrap" in file for file in callers):
        retry = threading.Timer(RETRY_SECONDS, _interrupt_main_thread)
        retry.daemon = True
        retry.start()
        return
    raise KeyboardInterrupt


def _interrupt_main_thread() -> None:
    """Send the signal of Ctrl-C, which also wakes a waiting thread, unlike ``interrupt_main``."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()
