"""One detection in the scene: its nodes, held together by one that is saved with the scene."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy
from ..core.errors import BadResults, BrainSSLAnomalyError
from ..core.grid import Grid
from ..core.records import (
    detection_from_record,
    detection_to_record,
    segmentation_from_dict,
    to_dict,
    upgrade_record,
)
from ..core.results import Detection, MapName, NetworkInput, Segmentation
from ..core.settings import SegmentationSettings, default_segmentation
from ..core.study import Modality, Volume
from . import hierarchy
from .grids import Node, local_affine, world_affine
from .layers import FINDING, MAIN, Layer, finding_layer, layers_of, rank
from .maps import array_of, remove_node, set_display, write_map
from .masks import fingerprint, new_segmentation, our_segments, write_segments
from .network_input import has_input, read_input, write_input
from .tables import write_table

MARK = "BrainSSLAnomaly.Results"
SOURCE = "BrainSSLAnomaly.Source"
"""Reference role: the scan that a result was made from."""

EDITED_SUFFIX = "(edited)"
"""End of the name of a segmentation that was left to its editor."""

_ANATOMY = ("brain", "regions", "zones")
_KEPT = ("fingerprint", "settings", "rejected")
"""Entries of the record that a second detection keeps."""


class EditedByHand(BrainSSLAnomalyError):
    """Refuse to replace a segmentation that has been edited since it was written."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has been edited by hand",
            "overwrite it only if the edits are not needed, or keep it and start a new one",
        )

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.what.removesuffix(" has been edited by hand"),)


class Results:
    """Hold the nodes of one detection, by a hidden ``vtkMRMLScriptedModuleNode``.

    Args:
        node: that node, from `write`, `for_scan` or `all_in_scene`.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node.GetID())

    @classmethod
    def all_in_scene(cls) -> list[Results]:
        """Return the results whose scan and score are still in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        found = [cls(n) for n in nodes if n.GetAttribute("ModuleName") == MARK]
        return [results for results in found if results.is_complete]

    @classmethod
    def for_scan(cls, reference: Node) -> Results | None:
        """Return the results of a scan."""
        return next((r for r in cls.all_in_scene() if r.reference is reference), None)

    @classmethod
    def write(
        cls,
        detection: Detection,
        scans: Mapping[Modality, Node],
        settings: SegmentationSettings | None = None,
    ) -> Results:
        """Write a detection into the scene.

        Earlier results of the same scan are replaced, nothing else is changed.

        Args:
            detection: on the grid of the reference scan.
            scans: the volume nodes that it was made from.
            settings: for the first mask; the defaults if None.

        Raises:
            BadResults: the reference scan has changed its grid; the scene is as it was.
        """
        reference = scans[detection.modality]
        before = cls.for_scan(reference)
        results = before or cls(_new_holder(reference))
        added: list[Node] = [] if before else [results.node]
        try:
            results._write_maps(detection, reference, added)
        except BaseException:
            for node in reversed(added):
                remove_node(node)
            raise
        results.node.SetNodeReferenceID("reference", reference.GetID())
        for modality in Modality:
            node = scans.get(modality)
            scan_id = node.GetID() if node is not None else None
            results.node.SetNodeReferenceID(f"scan-{modality.value}", scan_id)
        kept = {name: results._record[name] for name in _KEPT if name in results._record}
        results._record = {**kept, **detection_to_record(detection)}
        if settings is not None:
            results._update_record(settings=to_dict(settings))
        results._remove_layers_except({layer.key for layer in layers_of(detection)})
        return results

    def detection(self) -> Detection:
        """Return the detection, with places as they are in the scene now, without network input.

        Raises:
            BadResults: a node is gone or was changed.
        """
        reference = self.reference
        try:
            volume = Volume(
                array_of(reference, "the scan").astype(np.float32), world_affine(reference)
            )
            layers = {
                key: array_of(node, node.GetName()).astype(np.float32)
                for key, node in self.layers.items()
            }
            brain, regions, zones = (
                array_of(self._get(name), f"the {name} map") for name in _ANATOMY
            )
            zscores = {m: f"zscore-{m.value}" for m in Modality}
            return detection_from_record(
                self._record,
                reference=volume,
                anomaly_score=layers[MAIN],
                brain_mask=brain > 0,
                zscores={m: layers[key] for m, key in zscores.items() if key in layers},
                anatomy=PatientAnatomy(regions.astype(np.uint8), zones.astype(np.uint8)),
                maps={name: layers[name.value] for name in MapName if name.value in layers},
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadResults(
                f"the results of {self.name} have been changed ({error})", "detect again"
            ) from error

    @property
    def reference(self) -> Node | None:
        """Return the scan on whose grid the results are."""
        return self._get("reference")

    @property
    def is_complete(self) -> bool:
        """Return whether scan and score are still in the scene."""
        is_in_scene = self.node.GetScene() is not None and self.reference is not None
        return is_in_scene and self.layers.get(MAIN) is not None

    @property
    def name(self) -> str:
        """Return the name of the reference scan."""
        reference = self.reference
        return str(reference.GetName()) if reference is not None else "a scan that is gone"

    @property
    def scans(self) -> dict[Modality, Node]:
        """Return the volume nodes of the detection that are still in the scene."""
        found = {m: self._get(f"scan-{m.value}") for m in Modality}
        return {modality: node for modality, node in found.items() if node is not None}

    @property
    def layers(self) -> dict[str, Node]:
        """Return key of the layer → volume node, the main one first."""
        roles: list[str] = []
        self.node.GetNodeReferenceRoles(roles)
        keys = [role.removeprefix("layer-") for role in roles if role.startswith("layer-")]
        found = {key: self._get(f"layer-{key}") for key in keys}
        present = {key: node for key, node in found.items() if node is not None}
        return dict(sorted(present.items(), key=lambda item: (rank(item[0]), item[0])))

    @property
    def segmentation(self) -> Node | None:
        """Return the segmentation that follows the sliders."""
        return self._get("segmentation")

    @property
    def is_edited(self) -> bool:
        """Return whether the voxels of the segmentation were changed since it was written."""
        node = self.segmentation
        if node is None:
            return False
        return fingerprint(node, self.reference) != self._record.get("fingerprint")

    @property
    def settings(self) -> SegmentationSettings:
        """Return the settings of the last mask; the defaults before the first."""
        saved = self._record.get("settings")
        return segmentation_from_dict(saved) if saved else self.default_settings

    @property
    def default_settings(self) -> SegmentationSettings:
        """Return the default settings for the contrasts of the detection."""
        record = self._record
        if "inputs" not in record:
            return SegmentationSettings()
        inputs = upgrade_record(record)["inputs"]
        return default_segmentation([Modality(scan["modality"]) for scan in inputs])

    @property
    def rejected(self) -> list[tuple[int, int, int]]:
        """Return the places (k, j, i) of rejected findings.

        They are kept in mm, since loading may turn the axes of a volume.
        """
        grid = self._local_grid()
        points = np.array(self._record.get("rejected", []), float).reshape(-1, 3)
        places = [grid.to_index((r, a, s)) for r, a, s in points.tolist()]
        return [(round(k), round(j), round(i)) for k, j, i in places]

    @rejected.setter
    def rejected(self, places: Collection[tuple[int, int, int]]) -> None:
        grid = self._local_grid()
        points = [grid.to_ras(place).round(3).tolist() for place in sorted(places)]
        self._update_record(rejected=points)

    def write_segmentation(
        self,
        segmentation: Segmentation,
        settings: SegmentationSettings,
        rejected: Collection[int] = (),
        *,
        one_each: bool = False,
        overwrite: bool = False,
    ) -> Node:
        """Write segments and table of the findings; return the segmentation node.

        Args:
            segmentation: mask and findings; ``segmentation.labels`` is without rejected ones.
            settings: that made it, kept for the next session.
            rejected: numbers of the findings to list as rejected.
            one_each: a segment a finding.
            overwrite: also when it has been edited by hand.

        Raises:
            EditedByHand: it has been edited, and ``overwrite`` is off.
        """
        node = self.segmentation
        if node is not None and not overwrite and self.is_edited:
            raise EditedByHand(node.GetName())
        reference = self.reference
        if node is None:
            node = new_segmentation(f"{self.name} anomalies", reference)
            self._adopt("segmentation", node)
        accepted = [f for f in segmentation.findings if f.number not in rejected]
        write_segments(node, reference, segmentation.labels, accepted, one_each)
        table = self._get("table") or slicer.mrmlScene.AddNewNodeByClass(
            "vtkMRMLTableNode", f"{self.name} findings"
        )
        self._adopt("table", table)
        write_table(table, segmentation.findings, rejected)
        self._update_record(fingerprint=fingerprint(node, reference), settings=to_dict(settings))
        return node

    @property
    def has_network_input(self) -> bool:
        """Return whether the network input was kept, so that a finding can be explained."""
        return has_input(self.node)

    @property
    def network_input(self) -> NetworkInput:
        """Return the network input of the detection.

        Raises:
            BadResults: it was not kept, or was changed.
        """
        return read_input(self.node)

    def write_finding_map(self, number: int, heat: NDArray[np.float32]) -> Node:
        """Write the Grad-CAM of one finding as a layer, in place of the last; return its node.

        Args:
            number: of the finding.
            heat: (k, j, i) on the grid of the reference, 0 to 1.

        Raises:
            BadResults: the reference no longer has that grid.
        """
        reference = self.reference
        assert reference is not None
        layer = finding_layer(number, heat)
        self._write_layer(layer, reference, [])
        node = self.layers[FINDING]
        node.SetAttribute("BrainSSLAnomaly.Layer", layer.title)
        node.SetName(f"{reference.GetName()} {layer.title}")
        return node

    def remove_finding_map(self) -> None:
        """Remove that layer: its finding is no longer what it was."""
        self._remove_layers_except(set(self.layers) - {FINDING})

    def release_segmentation(self) -> Node | None:
        """Leave the segmentation to its editor; the next mask goes into a new one."""
        node = self.segmentation
        if node is not None:
            self.node.SetNodeReferenceID("segmentation", None)
            for segment_id in our_segments(node).values():
                node.GetSegmentation().GetSegment(segment_id).RemoveTag("BrainSSLAnomaly.Finding")
            if not node.GetName().endswith(EDITED_SUFFIX):
                node.SetName(f"{node.GetName()} {EDITED_SUFFIX}")
        return node

    def _write_maps(self, detection: Detection, reference: Node, added: list[Node]) -> None:
        for layer in layers_of(detection):
            self._write_layer(layer, reference, added)
        write_input(self.node, detection.network_input, reference, added, SOURCE)
        anatomy = detection.anatomy
        arrays = (detection.brain_mask, anatomy.regions, anatomy.zones)
        for name, array in zip(_ANATOMY, arrays, strict=True):
            old = self._get(name)
            title, labels = f"{reference.GetName()} {name}", array.astype(np.uint8)
            node = write_map(old, title, labels, reference, "vtkMRMLLabelMapVolumeNode")
            if old is None:
                added.append(node)
                node.SetHideFromEditors(True)
            self.node.SetNodeReferenceID(name, node.GetID())

    def _write_layer(self, layer: Layer, reference: Node, added: list[Node]) -> None:
        old = self._get(f"layer-{layer.key}")
        title = f"{reference.GetName()} {layer.title}"
        node = write_map(old, title, layer.array.astype(np.float32), reference)
        if old is None:
            added.append(node)
            set_display(node, layer, reference)
            node.SetAttribute("BrainSSLAnomaly.Layer", layer.title)
        self._adopt(f"layer-{layer.key}", node, reference)

    def _adopt(self, role: str, node: Node, reference: Node | None = None) -> None:
        """Refer to a node, note its scan, and move it into the folder of the results."""
        reference = reference if reference is not None else self.reference
        assert reference is not None
        self.node.SetNodeReferenceID(role, node.GetID())
        node.SetNodeReferenceID(SOURCE, reference.GetID())
        hierarchy.put_beside(node, reference, self.layers.get(MAIN))

    def _remove_layers_except(self, keys: set[str]) -> None:
        for key, node in self.layers.items():
            if key not in keys:
                self.node.SetNodeReferenceID(f"layer-{key}", None)
                remove_node(node)

    def _local_grid(self) -> Grid:
        reference = self.reference
        assert reference is not None
        k, j, i = reversed(reference.GetImageData().GetDimensions())
        return Grid((k, j, i), local_affine(reference))

    def _get(self, role: str) -> Node | None:
        return self.node.GetNodeReference(role)

    def _update_record(self, **values: Any) -> None:
        self._record = {**self._record, **values}

    @property
    def _record(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.node.GetParameter("record") or "{}"))
        except ValueError:
            return {}

    @_record.setter
    def _record(self, values: dict[str, Any]) -> None:
        self.node.SetParameter("record", json.dumps(values))


def _new_holder(reference: Node) -> Node:
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetAttribute("ModuleName", MARK)
    node.SetName(f"{reference.GetName()} anomaly results")
    node.SetHideFromEditors(True)
    node.SaveWithSceneOn()
    return slicer.mrmlScene.AddNode(node)
