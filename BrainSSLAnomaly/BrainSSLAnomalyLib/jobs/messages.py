"""The language between a job and its worker: files of the scratch folder, messages, exit codes.

The scratch folder holds a request and what it needs; the worker writes into its subfolder
``results``, whole or not at all. Messages are one JSON object a line: ``progress`` with stage and
fraction, ``alive`` every second, at last ``done`` or ``failed`` with kind and sentence.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

REQUEST = "request.json"
CANCEL = "cancel"
"""Its presence asks the worker to stop."""
WATCHED = "watched"
"""Touched at every poll of the job; a worker that nobody watches ends."""
RESULTS = "results"
MESSAGES = "messages.jsonl"
LOG = "log.txt"

EXIT_CANCELLED, EXIT_REFUSED, EXIT_BROKEN = 130, 2, 1
"""Exit codes of the worker, as those of the command line."""

READ_BYTES = 1 << 20
FLOOD_BYTES = 64 << 20
"""More than this is no sequence of messages."""


class MessageWriter:
    """Write messages, from any thread.

    Args:
        stream: to write to, flushed at every message.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def write(self, message: str, **values: object) -> None:
        """Write one message.

        Raises:
            OSError: nobody reads the stream any more.
        """
        with self._lock:
            self._stream.write(json.dumps({"message": message, **values}) + "\n")
            self._stream.flush()


class MessageReader:
    """Read the messages of a file that grows.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read, self._rest = 0, b""

    @property
    def is_flooded(self) -> bool:
        """Return whether the file is longer than any sequence of messages."""
        return self._read > FLOOD_BYTES

    def read(self, *, to_end: bool) -> Iterator[dict[str, Any]]:
        """Yield the messages that have come since the last call; other lines are left out.

        Args:
            to_end: read everything; otherwise one block, so that no call takes long.
        """
        try:
            with self._path.open("rb") as stream:
                while True:
                    stream.seek(self._read)
                    block = stream.read(READ_BYTES)
                    self._read += len(block)
                    *lines, self._rest = (self._rest + block).split(b"\n")
                    self._rest = self._rest[-READ_BYTES:]
                    yield from filter(None, map(_parse, lines))
                    if not to_end or len(block) < READ_BYTES or self.is_flooded:
                        break
        except OSError:
            return


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) and "message" in message else None
