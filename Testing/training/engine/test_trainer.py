"""The trainer stops when told, goes on bit for bit, and its weights load without pickle."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.packages import need_network

torch = need_network()
pytest.importorskip(
    "lightning_fabric",
    reason="training needs lightning-fabric: pip install 'brain-ssl-anomaly[model,training]'",
)

from support.project import PROJECT
from torch.utils.data import DataLoader

from training.engine.checkpoint import CHECKPOINT, WEIGHTS, ForeignWeights
from training.engine.trainer import TrainerSettings, _Draws, _schedule, train

TINY = TrainerSettings(
    steps=8,
    batch=4,
    learning_rate=0.05,
    warmup=2,
    ema=0.5,
    precision="32-true",
    log_every=1,
    validate_every=4,
    save_every=100,
)

FOREIGN = {
    "another shape": lambda path: saved(path, weight=[[7.0, 1.0]], bias=[8.0]),
    "another name": lambda path: saved(path, weight=[[7.0]], bias=[8.0], more=[1.0]),
    "nothing": lambda path: saved(path),
    "no safetensors": lambda path: path.write_bytes(b"pickle") and path,
    "no file": lambda path: path,
}


class Line:
    """y = 2 x + 1, learned from noise."""

    def network(self) -> torch.nn.Module:
        return torch.nn.Linear(1, 1)

    def draw(self, batch, generator):
        x = torch.randn((batch, 1), generator=generator)
        return x, 2 * x + 1

    def loss(self, network, batch):
        return {"square": ((network(batch[0]) - batch[1]) ** 2).mean()}

    def validate(self, network):
        return {"slope": float(network.weight.detach())}


def weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS)


def test_it_learns_and_leaves_averaged_weights(tmp_path):
    assert train(Line(), replace(TINY, steps=300), tmp_path) == 300
    found = weights(tmp_path)
    assert float(found["weight"]) == pytest.approx(2, abs=0.05) and float(
        found["bias"]
    ) == pytest.approx(1, abs=0.05)


def test_going_on_after_a_stop_gives_bit_for_bit_what_one_run_gives(tmp_path, monkeypatch):
    train(Line(), TINY, tmp_path / "one")
    ticks = iter([False] * 3 + [True])
    with monkeypatch.context() as patch:
        patch.setattr("training.engine.trainer._is_over", lambda *_: next(ticks))
        assert train(Line(), TINY, tmp_path / "two") == 3
    assert train(Line(), TINY, tmp_path / "two") == 8
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[k], two[k]) for k in one)


def test_no_minutes_do_no_step_and_still_leave_a_checkpoint(tmp_path):
    assert train(Line(), TINY, tmp_path, minutes=0) == 0
    assert (tmp_path / CHECKPOINT).is_file() and not list(tmp_path.glob(".partial*"))


def test_a_step_whose_gradient_overflows_changes_no_weight(tmp_path):
    class Overflowing(Line):
        def loss(self, network, batch):
            return {"square": ((network(batch[0]) * 1e30) ** 2).mean()}

    torch.manual_seed(TINY.seed)
    before = Line().network().weight.detach()
    train(Overflowing(), TINY, tmp_path)
    assert torch.equal(weights(tmp_path)["weight"], before)


class Wrapped(Line):
    """The same line inside a learner, with a part that a bundle does not have."""

    def network(self) -> torch.nn.Module:
        learner = torch.nn.Module()
        learner.network, learner.head = torch.nn.Linear(1, 1), torch.nn.Linear(1, 3)
        return learner


def saved(path: Path, **tensors) -> Path:
    from safetensors.torch import save_file

    save_file({name: torch.as_tensor(values) for name, values in tensors.items()}, path)
    return path


def test_a_run_begins_with_the_weights_of_another_run(tmp_path):
    train(Line(), replace(TINY, steps=300), tmp_path / "one")
    start = tmp_path / "one" / WEIGHTS
    assert train(Line(), TINY, tmp_path / "two", minutes=0, initial_weights=start) == 0
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    train(Line(), TINY, tmp_path / "three", initial_weights=start)
    assert float(weights(tmp_path / "three")["weight"]) == pytest.approx(2, abs=0.1)


def test_a_bundle_holds_the_network_alone_and_what_it_lacks_begins_at_random(tmp_path):
    start = saved(tmp_path / "model.safetensors", weight=[[7.0]], bias=[8.0])
    train(Wrapped(), TINY, tmp_path / "with", minutes=0, initial_weights=start)
    train(Wrapped(), TINY, tmp_path / "without", minutes=0)
    found, random = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert float(found["network.weight"]) == 7 and float(found["network.bias"]) == 8
    assert all(torch.equal(found[name], random[name]) for name in ("head.weight", "head.bias"))
    assert not torch.equal(found["network.weight"], random["network.weight"])


def test_a_checkpoint_in_the_folder_goes_before_weights_to_begin_with(tmp_path):
    assert train(Line(), replace(TINY, steps=4), tmp_path) == 4
    before = weights(tmp_path)
    start = saved(tmp_path / "start.safetensors", weight=[[7.0]], bias=[8.0])
    assert train(Line(), TINY, tmp_path, minutes=0, initial_weights=start) == 4
    assert all(torch.equal(before[name], values) for name, values in weights(tmp_path).items())


@pytest.mark.parametrize("kind", FOREIGN)
def test_weights_of_another_network_are_refused_before_anything_is_written(kind, tmp_path):
    start = FOREIGN[kind](tmp_path / "start.safetensors")
    with pytest.raises(
        ForeignWeights,
        match=r"start\.safetensors (holds the weights of another network|cannot be read)",
    ):
        train(Line(), TINY, tmp_path / "run", initial_weights=start)
    assert (
        not list((tmp_path / "run").glob("*.safetensors"))
        and not (tmp_path / "run" / CHECKPOINT).exists()
    )


def test_the_command_begins_with_weights_and_refuses_others_in_one_sentence(
    tmp_path, monkeypatch, capsys
):
    from training import train as door

    monkeypatch.setattr(door, "task_of", lambda *_: Line())

    def command(start: Path) -> None:
        options = ["--minutes", "0", "--output", str(tmp_path / "run"), "--weights", str(start)]
        monkeypatch.setattr(sys, "argv", ["train", "anatomy_cpu", *options])
        door.main()

    command(saved(tmp_path / "good.safetensors", weight=[[7.0]], bias=[8.0]))
    assert float(weights(tmp_path / "run")["weight"]) == 7
    with pytest.raises(SystemExit) as stopped:
        command(saved(tmp_path / "bad.safetensors", weight=[[7.0, 7.0]], bias=[8.0]))
    assert stopped.value.code == 2 and "weights of another network" in capsys.readouterr().err


def test_the_learning_rate_rises_and_then_falls_to_zero_and_a_resumed_run_has_the_same():
    settings = TrainerSettings(steps=1000, warmup=100)

    def rates(first: int, count: int) -> list[float]:
        optimizer = torch.optim.AdamW(torch.nn.Linear(1, 1).parameters(), settings.learning_rate)
        schedule = _schedule(optimizer, settings, first)
        found = []
        for _ in range(count):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return found

    whole = rates(0, 1001)
    assert np.argmax(whole) == 100 and max(whole) == settings.learning_rate
    assert whole[-1] == pytest.approx(0, abs=1e-9) and 0 < whole[0] < whole[50] < whole[99]
    assert rates(321, 5) == whole[321:326]


def test_batches_drawn_ahead_in_processes_teach_the_same_and_differ_from_each_other(tmp_path):
    settings = replace(TINY, steps=300, workers=2)
    assert train(Line(), settings, tmp_path / "one") == 300
    assert float(weights(tmp_path / "one")["weight"]) == pytest.approx(2, abs=0.05)
    train(Line(), settings, tmp_path / "two")
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(one[name], two[name]) for name in one)
    draws = DataLoader(_Draws(Line(), 2, 5), batch_size=None, num_workers=2)
    (first, _), (second, _), (third, _), *_ = itertools.islice(draws, 4)
    assert not torch.equal(first, second) and not torch.equal(first, third)


def test_two_processes_learn_one_network(tmp_path):
    script = tmp_path / "two.py"
    script.write_text(
        "import sys; sys.path[:0] = sys.argv[2:]\n"
        "from pathlib import Path; from dataclasses import replace\n"
        "import test_trainer as t\n"
        "print(t.train(t.Line(), replace(t.TINY, steps=300), Path(sys.argv[1])))\n"
    )
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    folders = [
        str(tmp_path / "run"),
        str(PROJECT),
        str(PROJECT / "Testing"),
        str(Path(__file__).parent),
    ]
    done = subprocess.run(
        [*command, *folders], capture_output=True, text=True, timeout=3600, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("300") >= 2
    assert {p.name for p in (tmp_path / "run").glob("random-*.pt")} == {
        "random-0.pt",
        "random-1.pt",
    }
    assert float(weights(tmp_path / "run")["weight"]) == pytest.approx(2, abs=0.05)


def test_slabs_used_several_times_are_the_same_after_a_stop(tmp_path, monkeypatch):
    pytest.importorskip(
        "monai", reason="the hybrid needs MONAI: pip install 'brain-ssl-anomaly[torch]'"
    )
    pytest.importorskip(
        "einops", reason="MONAI's transformer needs einops: pip install 'brain-ssl-anomaly[torch]'"
    )
    from BrainSSLAnomalyLib.network.hybrid import HybridSettings
    from support.training_heads import label_archive

    from training.tasks.anomaly import AnomalySettings, AnomalyTask
    from training.tasks.slices import SliceSettings

    slices = SliceSettings(crop=32, spacing=4.0, slab=9, every=4, patients=2, held_out=1, reuse=2)
    small = AnomalySettings(
        HybridSettings(features=(16, 32), layers=1, heads=4, embedding=128),
        slices,
        pretext_slices=2,
    )
    archive = replace(label_archive(), maps=label_archive().maps * 2)
    settings = TrainerSettings(6, precision="32-true", save_every=1, validate_every=99)
    train(AnomalyTask(archive, small), settings, tmp_path / "whole")
    ticks = iter([False] * 3 + [True])
    with monkeypatch.context() as patch:
        patch.setattr("training.engine.trainer._is_over", lambda *_: next(ticks))
        train(AnomalyTask(archive, small), settings, tmp_path / "halves")
    assert train(AnomalyTask(archive, small), settings, tmp_path / "halves") == 6
    one, two = weights(tmp_path / "whole"), weights(tmp_path / "halves")
    assert all(torch.equal(one[name], two[name]) for name in one)
