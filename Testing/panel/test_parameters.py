"""Panel and parameter node show every setting as the metadata of its field describes it."""

from __future__ import annotations

import typing
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, is_dataclass
from enum import Enum

import pytest
from BrainSSLAnomalyLib.core import settings
from BrainSSLAnomalyLib.core.settings import (
    DetectionSettings,
    DetectorName,
    MorphologySettings,
    ThresholdSettings,
    describe_settings,
)
from support.project import PROJECT
from support.slicer.optional import needed

needed("slicer")
needed("PySide6.QtWidgets")

GROUPS = (DetectionSettings, ThresholdSettings, MorphologySettings)
NOT_OFFERED = {"score", "explain", "network", "fast", "threads"}
"""Settings of the command line alone. Any other new setting needs a widget and a parameter."""
KINDS = {
    f.name: typing.get_type_hints(group)[f.name]
    for group in GROUPS
    for f in fields(group)
    if f.name not in NOT_OFFERED
}
DEFAULTS = {f.name: f.default for group in GROUPS for f in fields(group)}
DESCRIBED = {name: d for group in GROUPS for name, d in describe_settings(group).items()}
UI = ElementTree.parse(PROJECT / "BrainSSLAnomaly/Resources/UI/BrainSSLAnomaly.ui").getroot()
DETECTORS = {
    DetectorName.AUTO: "Automatic",
    DetectorName.STATISTICAL: "Statistics",
    DetectorName.HYBRID: "Network (hybrid)",
}


def named(kind) -> list[str]:
    return [name for name, k in KINDS.items() if issubclass(k, kind)]


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def hints(module) -> dict:
    """Parameter → type, with the range or the choices."""
    return typing.get_type_hints(module.BrainSSLAnomalyParameterNode, include_extras=True)


def test_every_settings_class_with_metadata_is_compared_here():
    classes = [c for c in vars(settings).values() if isinstance(c, type) and is_dataclass(c)]
    assert {c for c in classes if describe_settings(c)} == set(GROUPS)
    assert set(KINDS) | NOT_OFFERED == set(DESCRIBED)
    assert len(DESCRIBED) == sum(len(fields(group)) for group in GROUPS)  # no name twice


@pytest.mark.parametrize("name", named(float))
def test_a_slider_has_bounds_step_unit_label_tooltip_and_default_of_its_setting(panel, name):
    slider, described = getattr(panel.ui, f"{camel(name)}Slider"), DESCRIBED[name]
    assert slider.property("SlicerParameterName") == camel(name)
    assert (slider.minimum, slider.maximum) == described.bounds
    assert slider.singleStep == described.step
    for number in (described.step, DEFAULTS[name], *described.bounds):  # all can be shown
        assert round(number, slider.decimals) == number
    assert slider.suffix.strip() == described.unit
    assert slider.value == DEFAULTS[name]
    assert slider.toolTip == described.help
    assert getattr(panel.ui, f"{camel(name)}Label").text == f"{described.label}:"


@pytest.mark.parametrize("name", named(bool))
def test_a_check_box_has_label_tooltip_and_default_of_its_setting(panel, name):
    box, described = getattr(panel.ui, f"{camel(name)}CheckBox"), DESCRIBED[name]
    assert box.property("SlicerParameterName") == camel(name)
    assert (box.text, box.toolTip) == (described.label, described.help)
    assert box.checked is DEFAULTS[name]


@pytest.mark.parametrize("name", named(Enum))
def test_a_selector_has_choices_label_tooltip_and_default_of_its_setting(panel, name):
    selector, described = getattr(panel.ui, f"{camel(name)}Selector"), DESCRIBED[name]
    assert selector.property("SlicerParameterName") == camel(name)
    shown = [selector.itemText(index) for index in range(selector.count)]
    words = DETECTORS if name == "detector" else {}
    assert shown == [words.get(choice, choice.value) for choice in KINDS[name]]
    assert selector.currentIndex == list(KINDS[name]).index(DEFAULTS[name])
    assert selector.toolTip == described.help
    assert getattr(panel.ui, f"{camel(name)}Label").text == f"{described.label}:"


@pytest.mark.parametrize("name", KINDS)
def test_a_parameter_has_range_or_choices_and_default_of_its_setting(module, panel, name):
    kind, described, default = KINDS[name], DESCRIBED[name], DEFAULTS[name]
    hint = hints(module)[camel(name)]
    plain, *notes = typing.get_args(hint) or (hint,)
    if issubclass(kind, Enum):
        assert plain is str and list(notes[0].choices) == [choice.value for choice in kind]
        wrong, default = ["nothing of the kind"], default.value
    elif described.bounds is not None:
        assert plain is float and (notes[0].minimum, notes[0].maximum) == described.bounds
        wrong = [described.bounds[0] - described.step, described.bounds[1] + described.step]
    else:
        assert plain is bool and not notes
        wrong = []
    assert getattr(panel.parameterNode, camel(name)) == default
    for value in wrong:
        with pytest.raises(ValueError):
            setattr(panel.parameterNode, camel(name), value)


def test_every_parameter_has_one_widget_that_fits_it_and_every_widget_a_parameter(module):
    fits = {
        "QCheckBox": "bool",
        "ctkSliderWidget": "WithinRange",
        "QComboBox": "Choice",
        "qMRMLNodeComboBox": "vtkMRML",
    }
    bound = [
        (prop.findtext("string"), widget.get("class"))
        for widget in UI.iter("widget")
        for prop in widget.findall("property")
        if prop.get("name") == "SlicerParameterName"
    ]
    assert sorted(name for name, _ in bound) == sorted(hints(module))
    for name, widget in bound:
        assert fits[widget] in str(hints(module)[name]), name
    assert not {"default", "getValue", "Modified"} & set(hints(module))  # taken by Slicer


def test_every_button_slider_and_selector_has_a_tooltip_and_every_label_a_text(panel):
    with_text = {"QPushButton", "QCheckBox"}
    with_tooltip = {"QComboBox", "qMRMLNodeComboBox", "ctkSliderWidget", "ctkRangeWidget"}
    for widget in UI.iter("widget"):
        name, kind = widget.get("name"), widget.get("class")
        shown = getattr(panel.ui, name, None)
        is_label = kind == "QLabel" and name.endswith("Label") and name != "totalsLabel"
        if is_label or kind in with_text:
            assert shown.text, name
        if kind in with_text | with_tooltip:
            assert shown.toolTip, name
