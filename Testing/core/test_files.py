"""Files are replaced whole or not at all."""

from __future__ import annotations

import os

import pytest
from BrainSSLAnomalyLib.core.files import (
    move_into,
    replacing_file,
    replacing_files,
    write_bytes,
    write_text,
)


def test_a_file_is_replaced_only_when_its_block_ends_well(tmp_path):
    path = tmp_path / "notes.txt"
    write_text(path, "ä1")
    with pytest.raises(RuntimeError), replacing_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "ä1"
    write_bytes(path, b"2")
    assert path.read_bytes() == b"2" and os.listdir(tmp_path) == ["notes.txt"]


def test_several_files_appear_together_or_not_at_all(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing_files(tmp_path) as partial:
        (partial / "a").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "a").read_text() == "old" and os.listdir(tmp_path) == ["a"]
    with replacing_files(tmp_path) as partial:
        (partial / "a").write_text("new")
        (partial / "b").write_text("too")
    assert (tmp_path / "a").read_text() == "new" and (tmp_path / "b").read_text() == "too"


def test_files_in_folders_are_replaced_outdated_ones_go_and_others_stay(tmp_path):
    stage, target = tmp_path / "stage", tmp_path / "target"
    for folder, text in ((stage, "new"), (target, "old")):
        (folder / "patient").mkdir(parents=True)
        (folder / "patient" / "flair").write_text(text)
    (target / "patient" / "notes").write_text("mine")
    (target / "report").write_text("old")
    (target / "mine").write_text("mine")
    move_into(stage, target, outdated=["report", "never there"])
    assert (target / "patient" / "flair").read_text() == "new"
    assert (target / "patient" / "notes").read_text() == "mine"
    assert sorted(os.listdir(target)) == ["mine", "patient"]


def test_a_file_in_the_place_of_a_folder_changes_nothing(tmp_path):
    stage, target = tmp_path / "stage", tmp_path / "target"
    (stage / "patient").mkdir(parents=True)
    (stage / "patient" / "flair").write_text("new")
    (stage / "a").write_text("new")
    target.mkdir()
    (target / "patient").write_text("a file")
    with pytest.raises(OSError):
        move_into(stage, target)
    assert (target / "patient").read_text() == "a file" and os.listdir(target) == ["patient"]


def test_a_move_that_fails_half_way_is_undone(tmp_path, monkeypatch):
    stage, target = tmp_path / "stage", tmp_path / "target"
    stage.mkdir()
    target.mkdir()
    for name in ("a", "b", "c"):
        (stage / name).write_text("new")
        (target / name).write_text("old")
    real = os.replace

    def fail(source, place):
        if str(source) == str(stage / "b"):
            raise OSError(28, "No space left on device")
        real(source, place)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        move_into(stage, target)
    assert {p.name: p.read_text() for p in target.iterdir()} == dict.fromkeys("abc", "old")
    assert {p.name: p.read_text() for p in stage.iterdir()} == dict.fromkeys("abc", "new")
