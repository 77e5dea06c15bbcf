"""Files that are written whole or not at all, and their SHA-256."""

from __future__ import annotations

import hashlib
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
    """Move every file from one folder into another, in place of what has the same name there.

    Args:
        stage: folder on the same disk, with files and folders of files.
        target: folder that exists; its other files stay, also in folders of the same name.
        outdated: names of files in ``target`` that are removed as well.

    Raises:
        OSError: something cannot be moved; the files are then where they were before.
    """
    new = sorted(path.relative_to(stage) for path in stage.rglob("*") if not path.is_dir())
    replaced = dict.fromkeys([*new, *map(Path, outdated)])
    with tempfile.TemporaryDirectory(prefix=PARTIAL, dir=target) as name:
        backup = Path(name)
        moves = [(target / n, backup / n) for n in replaced if os.path.lexists(target / n)]
        moves += [(stage / n, target / n) for n in new]
        done: list[tuple[Path, Path]] = []
        try:
            for source, place in moves:
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, place)
                done.append((source, place))
        except BaseException:
            for source, place in reversed(done):
                os.replace(place, source)
            raise


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
