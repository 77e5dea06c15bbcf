"""The options of the commands are those of the settings, with their bounds and explanations."""

from __future__ import annotations

from dataclasses import fields

import click
import pytest
import typer
from BrainSSLAnomalyLib.cli.app import app
from BrainSSLAnomalyLib.cli.options import SegmentationChanges
from BrainSSLAnomalyLib.core.errors import BadSettings
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    MorphologySettings,
    SegmentationSettings,
    ThresholdSettings,
    describe_settings,
)

COMMAND = typer.main.get_command(app)
CASES = [
    (command, group, name)
    for command, groups in (
        ("detect", (DetectionSettings, ThresholdSettings, MorphologySettings)),
        ("segment", (ThresholdSettings, MorphologySettings)),
    )
    for group in groups
    for name in describe_settings(group)
]


def option_of(command: str, name: str) -> click.Option:
    (found,) = [p for p in COMMAND.commands[command].params if p.name == name]
    return found


@pytest.mark.parametrize(("command", "group", "name"), CASES)
def test_a_setting_has_an_option_with_its_help_bounds_and_default(command, group, name):
    described, option = describe_settings(group)[name], option_of(command, name)
    default = next(f.default for f in fields(group) if f.name == name)
    flag = described.flag.split("/")[0] or "--" + name.replace("_", "-")
    assert flag in option.opts and option.help.startswith(described.help)
    if described.bounds is not None:
        low, high = described.bounds
        assert f"{low:g} to {high:g}" in option.help
    if group is DetectionSettings:
        assert option.default == default or option.default == default.value
    else:
        assert option.default is None  # what is not given stays as it was
        plain = getattr(default, "value", default)
        shown = f"{plain:g}" if isinstance(plain, float) else str(plain)
        assert shown in str(option.show_default)


@pytest.mark.parametrize("command", ["detect", "segment"])
def test_no_option_repeats_a_setting_by_hand(command):
    own = {
        *("scans", "flair", "t1", "t1c", "t2", "pd", "series", "output", "overwrite"),
        *("quiet", "as_json", "result", "help"),
    }
    made = {name for c, _, name in CASES if c == command}
    assert {p.name for p in COMMAND.commands[command].params} <= own | made


def test_changes_leave_everything_else_as_it_was():
    before = SegmentationSettings(ThresholdSettings(threshold=0.9, low=0.7))
    after = SegmentationChanges({"threshold": 0.5}, {"closing_mm": 3.0}).apply(before)
    assert (after.threshold.threshold, after.threshold.low) == (0.5, 0.5)
    assert after.threshold.method is before.threshold.method
    assert after.morphology.closing_mm == 3.0
    assert after.morphology.min_volume_ml == before.morphology.min_volume_ml


def test_a_value_out_of_range_is_refused_by_its_label():
    with pytest.raises(BadSettings, match="closing"):
        SegmentationChanges({}, {"closing_mm": 99.0}).apply(SegmentationSettings())
