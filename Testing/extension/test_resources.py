"""The bundled files are small, and every source of data has its licence in the notice."""

from __future__ import annotations

from support.project import PROJECT

MODULE = PROJECT / "BrainSSLAnomaly"


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
