"""Fill the page of settings from the metadata of the settings classes, when the site is built."""

from __future__ import annotations

from enum import Enum
from typing import Any

from BrainSSLAnomalyLib.core import settings

GROUPS = {
    "detection": settings.DetectionSettings,
    "threshold": settings.ThresholdSettings,
    "morphology": settings.MorphologySettings,
}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace each marker such as ``<!-- settings: threshold -->`` by a table."""
    for name, group in GROUPS.items():
        markdown = markdown.replace(f"<!-- settings: {name} -->", settings_table(group))
    return markdown


def settings_table(group: type) -> str:
    """Return a settings class as a table: label, option, default, range and help."""
    lines = [
        "| setting | option | default | range | what it does |",
        "| --- | --- | --- | --- | --- |",
    ]
    defaults = group()
    for name, described in settings.describe_settings(group).items():
        option = described.flag or "--" + name.replace("_", "-")
        value = getattr(defaults, name)
        options = " or ".join(f"`{part}`" for part in option.split("/"))
        default = f"{shown(value)} {described.unit}".strip()
        cells = (described.label, options, default, shown_range(value, described), described.help)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(value: Any) -> str:
    """Return a value as a user reads it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"`{value.value}`" if isinstance(value, Enum) else f"{value:g}"


def shown_range(value: Any, described: settings.Setting) -> str:
    """Return the bounds of a number, or the choices."""
    if described.bounds is not None:
        return f"{described.bounds[0]:g} to {described.bounds[1]:g} {described.unit}".strip()
    return ", ".join(f"`{c.value}`" for c in type(value)) if isinstance(value, Enum) else ""
