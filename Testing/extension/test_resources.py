"""What is installed is what the project holds: Slicer installs only the files that its CMakeLists names."""

from __future__ import annotations

import re

import pytest
from BrainSSLAnomalyLib.core.errors import BadSettings
from support.project import PROJECT

MODULE = PROJECT / "BrainSSLAnomaly"


def test_the_module_lists_every_script_and_resource_and_nothing_that_is_not_there():
    listed = set(
        re.findall(
            r"^  ((?:BrainSSLAnomalyLib|Resources)/\S+)$",
            (MODULE / "CMakeLists.txt").read_text(),
            re.MULTILINE,
        )
    )
    scripts = {
        p
        for p in (MODULE / "BrainSSLAnomalyLib").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    resources = {p for p in (MODULE / "Resources").rglob("*") if p.is_file()}
    there = {str(p.relative_to(MODULE)) for p in scripts | resources}
    assert listed == there


def test_the_bundled_anatomy_stays_under_4_mb():
    assert sum(p.stat().st_size for p in (MODULE / "Resources" / "Anatomy").iterdir()) < 4e6


def test_every_data_source_has_its_licence_in_the_notice():
    notice = (PROJECT / "NOTICE").read_text(encoding="utf-8")
    for words in (
        "SynthSeg",
        "SynthSR",
        "IXI",
        "CC BY-SA" if "CC BY-SA" in notice else "Creative Commons BY-SA 3.0",
        "MNI152",
    ):
        assert words in notice


def test_nothing_is_measured_by_the_atlas_in_the_anatomy_network_s_name(monkeypatch):
    workers = pytest.importorskip(
        "training.engine.processes", reason="needs torch: pip install 'brain-ssl-anomaly[model]'"
    )
    monkeypatch.setattr("BrainSSLAnomalyLib.detection.detect.networks_available", lambda: False)
    with pytest.raises(BadSettings, match="pip install"):
        workers.prepared_as_shipped(None)
