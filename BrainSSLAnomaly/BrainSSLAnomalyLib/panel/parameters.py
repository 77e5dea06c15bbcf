"""The parameter node and the widgets of settings, made from the metadata of their fields.

The parameter of a field, and the start of its widget's name, is the field's name in camel case:
``closing_mm`` is the parameter ``closingMm`` and the slider ``closingMmSlider``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import fields
from enum import Enum
from typing import Annotated, Any, get_type_hints

from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Choice, WithinRange

from ..core.settings import DetectionSettings, Setting, describe_settings


def with_settings(group: type, *, without: Collection[str] = ()) -> Callable[[type], type]:
    """Return a class decorator that adds a parameter for every field of a settings class.

    Args:
        group: a settings class.
        without: names of fields that have no parameter.
    """

    def add(cls: type) -> type:
        kinds = get_type_hints(group)
        for f in fields(group):
            if f.name in without:
                continue
            name = camel_case(f.name)
            described: Setting = f.metadata["setting"]
            cls.__annotations__[name] = _parameter_type(kinds[f.name], described)
            default = f.default
            setattr(cls, name, default.value if isinstance(default, Enum) else default)
        return cls

    return add


def _parameter_type(kind: Any, described: Setting) -> Any:
    if described.bounds is not None:
        return Annotated[float, WithinRange(*described.bounds)]
    if issubclass(kind, Enum):
        return Annotated[str, Choice([choice.value for choice in kind])]
    return kind


def camel_case(name: str) -> str:
    """Return a field's name as a parameter's name.

    Example:
        >>> camel_case("min_volume_ml")
        'minVolumeMl'
    """
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def fill_widgets(ui: Any, group: type, *, without: Collection[str] = ()) -> None:
    """Fill labels, tooltips, ranges, steps and units of the widgets of a settings class.

    Args:
        ui: the panel's widgets by name.
        group: a settings class.
        without: names of fields that have no widget.
    """
    for name, described in describe_settings(group).items():
        if name in without:
            continue
        start = camel_case(name)
        label = getattr(ui, f"{start}Label", None)
        if label is not None:
            label.text = f"{_(described.label)}:"
        for kind in ("Slider", "Selector", "CheckBox"):
            widget = getattr(ui, f"{start}{kind}", None)
            if widget is not None:
                widget.toolTip = _(described.help)
        check_box = getattr(ui, f"{start}CheckBox", None)
        if check_box is not None:
            check_box.text = _(described.label)
        slider = getattr(ui, f"{start}Slider", None)
        if slider is not None and described.bounds is not None and described.step is not None:
            slider.minimum, slider.maximum = described.bounds
            slider.singleStep = described.step
            slider.decimals = 2 if described.step < 0.1 else 1
            slider.suffix = f" {described.unit}" if described.unit else ""


def detection_settings(parameters: Any) -> DetectionSettings:
    """Return the detection settings of a parameter node; fields without parameter by default."""
    names = {name: camel_case(name) for name in describe_settings(DetectionSettings)}
    return DetectionSettings(
        **{
            name: getattr(parameters, parameter)
            for name, parameter in names.items()
            if hasattr(parameters, parameter)
        }
    )
