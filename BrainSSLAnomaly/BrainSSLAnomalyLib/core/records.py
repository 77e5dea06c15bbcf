"""Settings and results as plain dictionaries, ready for JSON, and back.

The same record of a detection stands in ``result.json`` and in a saved Slicer scene.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .anatomy import PatientAnatomy
from .errors import BadSettings
from .progress import StageTime
from .results import Detection, MapName, NetworkInput, Provenance
from .settings import (
    AnatomySource,
    DetectionSettings,
    DetectorName,
    Device,
    ScoreName,
    SegmentationSettings,
    ThresholdMethod,
)
from .study import Modality, Scan, Volume

T = TypeVar("T")

_CHOICES = (AnatomySource, DetectorName, Device, ScoreName, ThresholdMethod)


def to_dict(value: Any) -> dict[str, Any]:
    """Return a dataclass as a plain dictionary, enums as their values.

    Example:
        >>> to_dict(DetectionSettings())["detector"]
        'auto'
    """
    plain: dict[str, Any] = _converter().unstructure(value)
    return plain


def segmentation_from_dict(values: Mapping[str, Any]) -> SegmentationSettings:
    """Return the settings of which `to_dict` made a dictionary.

    Raises:
        BadSettings: an unknown name, a wrong type or a value out of range.
    """
    return _from_dict(values, SegmentationSettings)


def detection_from_dict(values: Mapping[str, Any]) -> DetectionSettings:
    """Return the settings of which `to_dict` made a dictionary.

    Raises:
        BadSettings: an unknown name, a wrong type or value.
    """
    return _from_dict(values, DetectionSettings)


def detection_to_record(detection: Detection) -> dict[str, Any]:
    """Return everything of a detection that is no array, ready for JSON."""
    provenance = detection.provenance
    return {
        "detector": detection.detector.value,
        "reference_modality": detection.modality.value,
        "inputs": [
            {
                "modality": scan.modality.value,
                "source": scan.source,
                "sha256": scan.sha256,
                "modality_guessed_from": scan.guessed_from,
            }
            for scan in detection.inputs
        ],
        **times_to_record(detection.times),
        "warnings": list(detection.warnings),
        "scan_p_value": detection.scan_p_value,
        "provenance": None if provenance is None else to_dict(provenance),
    }


def detection_from_record(
    record: Mapping[str, Any],
    *,
    reference: Volume,
    anomaly_score: NDArray[np.float32],
    brain_mask: NDArray[np.bool_],
    zscores: Mapping[Modality, NDArray[np.float32]],
    anatomy: PatientAnatomy,
    maps: Mapping[MapName, NDArray[np.float32]],
    network_input: NetworkInput | None = None,
) -> Detection:
    """Return the detection of a record and its arrays, all on the grid of the reference.

    Args:
        record: from `detection_to_record`, also of version 0.5.
        reference: the reference scan; it stands for the volumes of the inputs.
        anomaly_score: see `Detection`, as are all that follow.
        brain_mask: ...
        zscores: ...
        anatomy: ...
        maps: ...
        network_input: ...

    Raises:
        KeyError, TypeError, ValueError: the record is incomplete or damaged, or an array has
            another shape.
        BadSettings: its settings are damaged.
    """
    record = upgrade_record(record)
    arrays = (anomaly_score, brain_mask, anatomy.regions, anatomy.zones)
    for array in (*arrays, *zscores.values(), *maps.values()):
        reference.with_array(array)
    provenance, p_value = record["provenance"], record["scan_p_value"]
    return Detection(
        reference=reference,
        modality=Modality(record["reference_modality"]),
        anomaly_score=anomaly_score,
        brain_mask=brain_mask,
        zscores=zscores,
        anatomy=anatomy,
        detector=DetectorName(record["detector"]),
        inputs=tuple(
            Scan(
                volume=reference,
                modality=Modality(scan["modality"]),
                source=str(scan["source"]),
                sha256=str(scan["sha256"]),
                guessed_from=str(scan["modality_guessed_from"]),
            )
            for scan in record["inputs"]
        ),
        times=_times_from_record(record),
        warnings=tuple(str(warning) for warning in record["warnings"]),
        scan_p_value=None if p_value is None else float(p_value),
        maps=maps,
        provenance=None if provenance is None else _from_dict(provenance, Provenance),
        network_input=network_input,
    )


def times_to_record(times: Mapping[str, StageTime]) -> dict[str, Any]:
    """Return the times of stages, ready for JSON: seconds and processor's seconds by stage."""
    return {
        "seconds": {stage: round(t.seconds, 2) for stage, t in times.items()},
        "cpu_seconds": {stage: round(t.cpu_seconds, 2) for stage, t in times.items()},
    }


def _times_from_record(record: Mapping[str, Any]) -> dict[str, StageTime]:
    cpu = record.get("cpu_seconds", {})  # since version 0.7
    return {
        str(stage): StageTime(float(s), float(cpu.get(stage, 0.0)))
        for stage, s in record["seconds"].items()
    }


def upgrade_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of version 0.5 as one of this version; others as they are.

    Raises:
        KeyError: the record is incomplete.
    """
    new = dict(record)
    if "modality" in new:
        new["reference_modality"] = new.pop("modality")
    names = ("modality", "source", "sha256", "modality_guessed_from")
    new["inputs"] = [
        scan if isinstance(scan, Mapping) else dict(zip(names, scan, strict=True))
        for scan in new["inputs"]
    ]
    facts = new.pop("facts", None)
    if facts is not None and "provenance" not in new:
        names_now = {
            "anatomy_by": "anatomy",
            "skull_stripped_input": "skull_stripped",
            "healthy_scans_in_table": "healthy_scans",
        }
        renamed = {names_now.get(name, name): value for name, value in facts.items()}
        new["provenance"] = renamed if "settings" in renamed else None
    return new


def _from_dict(values: Mapping[str, Any], kind: type[T]) -> T:
    from cattrs import transform_error
    from cattrs.errors import BaseValidationError

    try:
        made: T = _converter().structure(values, kind)
        return made
    except BadSettings:
        raise
    except BaseValidationError as error:
        for cause in _causes(error):
            if isinstance(cause, BadSettings):
                raise cause from error
        reason = transform_error(error)[0]
    except (TypeError, ValueError, AttributeError) as error:
        reason = str(error)
    raise BadSettings(f"settings cannot be read ({reason})", "use those written in result.json")


def _converter() -> Any:
    # Imported here: Slicer's panel reads the defaults before packages are installed.
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True)
    for choices in _CHOICES:  # each, since cattrs takes an enumeration of texts for a text
        converter.register_unstructure_hook(choices, lambda choice: choice.value)
    converter.register_unstructure_hook_func(_is_array, lambda array: array.tolist())
    converter.register_structure_hook_func(_is_array, lambda values, _: np.asarray(values, float))
    for kind in (bool, float):
        converter.register_structure_hook(kind, _strict)
    return converter


def _is_array(kind: Any) -> bool:
    return getattr(kind, "__origin__", kind) is np.ndarray


def _strict(value: Any, kind: type) -> Any:
    """Return a number or a switch as it is; refuse a text or another type."""
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, (bool, int, float)):
        raise TypeError(f"{value!r} is not a {'switch' if kind is bool else 'number'}")
    return kind(value)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception group and everything in it."""
    inner = [cause for e in getattr(error, "exceptions", ()) for cause in _causes(e)]
    return [error, *inner]
