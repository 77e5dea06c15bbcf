"""How fast are healthy patients synthesised? Run by ``make benchmark``.

Aim on two cores: one patient of 96³ voxels in three contrasts a second.
"""

from __future__ import annotations

import pytest
from support.packages import need_network
from support.project import DATA

torch = need_network()


@pytest.fixture(scope="module")
def generator(tmp_path_factory):
    from training.data.label_archive import read, write
    from training.synthesis.generator import GeneratorSettings, ScanGenerator

    if not DATA.is_dir():
        pytest.skip("label maps are absent; set BRAINSSL_DATA to their folder")
    archive = tmp_path_factory.mktemp("archive") / "labels.npz"
    write(archive, most=3)
    return ScanGenerator(read(archive), GeneratorSettings())


def test_four_patients_of_96_voxels_a_side_in_three_contrasts(benchmark, generator):
    seed = torch.Generator().manual_seed(0)
    benchmark.pedantic(lambda: generator(4, seed), rounds=5, warmup_rounds=1)
