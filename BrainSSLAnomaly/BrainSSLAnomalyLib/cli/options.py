"""Command-line options made from the metadata of the settings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields, replace
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from ..core.settings import (
    DetectionSettings,
    MorphologySettings,
    SegmentationSettings,
    Setting,
    ThresholdSettings,
)

Command = TypeVar("Command", bound=Callable[..., Any])
Group = TypeVar("Group")


@dataclass(frozen=True)
class SegmentationChanges:
    """Hold the options of the segmentation that the user has given.

    Attributes:
        threshold: values by the names of `ThresholdSettings`.
        morphology: values by the names of `MorphologySettings`.
    """

    threshold: dict[str, Any] = field(default_factory=dict)
    morphology: dict[str, Any] = field(default_factory=dict)

    def apply(self, settings: SegmentationSettings) -> SegmentationSettings:
        """Return the settings with the changes.

        A threshold below the lower threshold takes that down with it.

        Raises:
            BadSettings: a value is out of range.
        """
        cut = dict(self.threshold)
        threshold = cut.get("threshold")
        if threshold is not None and threshold < settings.threshold.low:
            cut.setdefault("low", threshold)
        return SegmentationSettings(
            replace(settings.threshold, **cut), replace(settings.morphology, **self.morphology)
        )


def with_detection_options(command: Command) -> Command:
    """Give a command an option for every field of `DetectionSettings`.

    Args:
        command: has a parameter ``settings``, which receives the settings.
    """

    def collect(values: dict[str, Any]) -> dict[str, Any]:
        return {"settings": DetectionSettings(**values)}

    return _with_options(command, "settings", _parameters(DetectionSettings), collect)


def with_segmentation_options(command: Command) -> Command:
    """Give a command an option for every number of the segmentation.

    Args:
        command: has a parameter ``changes``, which receives `SegmentationChanges`.
    """
    groups = (ThresholdSettings, MorphologySettings)
    parameters = [p for group in groups for p in _parameters(group, is_change=True)]

    def collect(values: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if value is not None}
        threshold, morphology = (_only(given, group) for group in groups)
        return {"changes": SegmentationChanges(threshold, morphology)}

    return _with_options(command, "changes", parameters, collect)


def _only(values: dict[str, Any], group: type) -> dict[str, Any]:
    names = {f.name for f in fields(group)}
    return {name: value for name, value in values.items() if name in names}


def _parameters(group: type, *, is_change: bool = False) -> list[inspect.Parameter]:
    """Return a parameter with its option for every setting of a group.

    Args:
        group: a settings class.
        is_change: None stands for "as it was"; otherwise the default is that of the setting.
    """
    kinds = get_type_hints(group)
    parameters = []
    for setting in (f for f in fields(group) if "setting" in f.metadata):
        kind = kinds[setting.name]
        option = _option(setting, is_change=is_change)
        annotation = Annotated[kind | None if is_change else kind, option]  # type: ignore[valid-type]
        parameter = inspect.Parameter(
            setting.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if is_change else setting.default,
            annotation=annotation,
        )
        parameters.append(parameter)
    return parameters


def _option(setting: Field[Any], *, is_change: bool) -> Any:
    described: Setting = setting.metadata["setting"]
    assert setting.default is not MISSING
    flag = described.flag or "--" + setting.name.replace("_", "-")
    unit = f" {described.unit}" if described.unit else ""
    shown: bool | str = True
    if is_change:
        default = getattr(setting.default, "value", setting.default)
        shown = (
            f"with detect {default:g}{unit}" if _is_number(default) else f"with detect {default}"
        )
    extent = ""
    if described.bounds is not None:
        low, high = described.bounds
        extent = f" {low:g} to {high:g}{unit}."
    return typer.Option(flag, help=described.help + extent, show_default=shown)


def _is_number(value: Any) -> bool:
    return isinstance(value, float)


def _with_options(
    command: Command,
    collected: str,
    parameters: list[inspect.Parameter],
    collect: Callable[[dict[str, Any]], dict[str, Any]],
) -> Command:
    """Return a command whose signature has options in the place of one parameter."""
    hints = get_type_hints(command, include_extras=True)
    own = [
        p.replace(annotation=hints[p.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for p in inspect.signature(command).parameters.values()
        if p.name != collected
    ]
    names = [p.name for p in parameters]

    @functools.wraps(command)
    def run(**values: Any) -> Any:
        chosen = {name: values.pop(name) for name in names}
        return command(**values, **collect(chosen))

    everything = [*own, *parameters]
    run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in everything}
    return run  # type: ignore[return-value]
