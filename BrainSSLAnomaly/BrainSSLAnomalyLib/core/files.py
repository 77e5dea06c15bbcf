"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL = ".partial-"
"""How the names of unfinished files and folders begin."""


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path that takes the place of ``path`` when the block ends without error.

    Args:
        path: of the file to write; its folder must exist.

    Raises:
        OSError: the folder cannot be written to.
    """
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=path.parent) as folder:
        partial = Path(folder) / path.name
        yield partial
        os.replace(partial, path)


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder whose files are moved into ``folder`` when all of them are written.

    Args:
        folder: that exists; its other files stay.

    Raises:
        OSError: the folder cannot be written to. What was there before is there again.
    """
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=folder) as name:
        stage = Path(name)
        yield stage
        move_into(stage, folder)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file.

    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    with replacing_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file of bytes.

    Raises:
        OSError: it cannot be written; an older file is as it was.
    """
    with replacing_file(path) as partial:
        partial.write_bytes(content)


def move_into(stage: Path, target: Path, outdated: Collection[str] = ()) -> None:
    """Move everything from one folder into another, in place of what has the same name there.

    Args:
        stage: folder on the same disk, with files and folders; empty afterwards.
        target: folder that exists.
        outdated: names in ``target`` that are removed as well.

    Raises:
        OSError: something cannot be moved; ``target`` is then as it was before.
    """
    new = sorted(item.name for item in stage.iterdir())
    old = [name for name in (*new, *outdated) if os.path.lexists(target / name)]
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target) as backup:
        saved: list[str] = []
        moved: list[str] = []
        try:
            for name in dict.fromkeys(old):
                os.replace(target / name, Path(backup) / name)
                saved.append(name)
            for name in new:
                os.replace(stage / name, target / name)
                moved.append(name)
        except BaseException:
            for name in moved:
                os.replace(target / name, stage / name)
            for name in saved:
                os.replace(Path(backup) / name, target / name)
            raise
