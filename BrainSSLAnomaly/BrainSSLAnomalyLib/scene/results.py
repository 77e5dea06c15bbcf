"""One detection in the scene: its nodes, held together by a node of their own, so that they survive saving and loading."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import slicer
from numpy.typing import NDArray

from ..core.anatomy import PatientAnatomy
from ..core.errors import BadResults, BrainSSLAnomalyError
from ..core.results import Detection, LookedAt, MapName, Segmentation
from ..core.settings import (
    SegmentationSettings,
    default_segmentation,
    segmentation_from_dict,
    to_dict,
)
from ..core.study import Modality, Scan, Volume
from . import hierarchy
from .grids import local_affine, world_affine
from .layers import FINDING, MAIN, Layer, finding_layer, layers_of, rank
from .maps import array_of, dress, remove_node, write_map
from .masks import fingerprint, new_segmentation, our_segments, write_segments
from .network_input import has_input, read_input, write_input
from .tables import write_table

Node = Any
MARK = "BrainSSLAnomaly.Results"
SOURCE = "BrainSSLAnomaly.Source"
"""Reference role: the scan that a result was made from."""
_ANATOMY = ("brain", "regions", "zones")


class EditedByHand(BrainSSLAnomalyError):
    """The segmentation has been edited since it was written."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} has been edited by hand",
            "overwrite it only if the edits are not needed, or keep it and start a new one",
        )

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.what.removesuffix(" has been edited by hand"),)


class Results:
    """The nodes of one detection. What holds them is a hidden ``vtkMRMLScriptedModuleNode``.

    Args:
        node: that node, from `write`, `of` or `everything`.
    """

    def __init__(self, node: Node) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Results) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node.GetID())

    @classmethod
    def everything(cls) -> list[Results]:
        """Those in the scene whose scan and score are still there."""
        nodes = slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")
        found = [cls(n) for n in nodes if n.GetAttribute("ModuleName") == MARK]
        return [r for r in found if r.complete]

    @classmethod
    def of(cls, reference: Node) -> Results | None:
        """Those of a scan."""
        return next((r for r in cls.everything() if r.reference is reference), None)

    @classmethod
    def write(cls, detection: Detection, scans: Mapping[Modality, Node]) -> Results:
        """Put a detection into the scene; a scan's earlier results are replaced, nothing else is touched.

        Args:
            detection: on the grid of the reference scan.
            scans: the volume nodes it was made from.

        Raises:
            BadResults: the reference scan has changed its grid; the scene is as it was.
        """
        reference = scans[detection.modality]
        before = cls.of(reference)
        results = before or cls(_new_holder(reference))
        made: list[Node] = [] if before else [results.node]
        try:
            results._fill(detection, reference, made)
        except BaseException:
            for node in reversed(made):
                remove_node(node)
            raise
        results.node.SetNodeReferenceID("reference", reference.GetID())
        for modality in Modality:
            node = scans.get(modality)
            results.node.SetNodeReferenceID(
                f"scan-{modality.value}", node.GetID() if node is not None else None
            )
        results._record = {
            "detector": detection.detector,
            "modality": detection.modality.value,
            "inputs": [
                [s.modality.value, s.source, s.sha256, s.guessed_from] for s in detection.inputs
            ],
            "seconds": dict(detection.seconds),
            "warnings": list(detection.warnings),
            "scan_p_value": detection.scan_p_value,
            "facts": dict(detection.facts),
        }
        results._drop_stale({layer.key for layer in layers_of(detection)})
        return results

    def detection(self) -> Detection:
        """The detection, made again from the nodes; places are those of the scene as it is now. `looked_at` is not part of it.

        Raises:
            BadResults: a node is gone or was changed.
        """
        reference, record = self.reference, self._record
        try:
            layers = {
                key: array_of(node, node.GetName()).astype(np.float32)
                for key, node in self.layers.items()
            }
            grid = Volume(
                array_of(reference, "the scan").astype(np.float32), world_affine(reference)
            )
            brain, regions, zones = (
                array_of(self._get(name), f"the {name} map") for name in _ANATOMY
            )
            for array in (*layers.values(), brain, regions, zones):
                grid.with_array(array)
            return Detection(
                reference=grid,
                modality=Modality(record["modality"]),
                anomaly_score=layers[MAIN],
                brain_mask=brain > 0,
                zscores={
                    m: layers[f"zscore-{m.value}"]
                    for m in Modality
                    if f"zscore-{m.value}" in layers
                },
                anatomy=PatientAnatomy(regions.astype(np.uint8), zones.astype(np.uint8)),
                detector=record["detector"],
                inputs=tuple(Scan(grid, Modality(m), *rest) for m, *rest in record["inputs"]),
                seconds=record["seconds"],
                warnings=tuple(record["warnings"]),
                scan_p_value=record["scan_p_value"],
                maps={name: layers[name.value] for name in MapName if name.value in layers},
                facts=record["facts"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadResults(
                f"the results of {self.name} have been changed ({error})", "detect again"
            ) from error

    @property
    def reference(self) -> Node | None:
        """The scan on whose grid the results are."""
        return self._get("reference")

    @property
    def complete(self) -> bool:
        """Whether scan and score are still in the scene."""
        return (
            self.node.GetScene() is not None
            and self.reference is not None
            and self.layers.get(MAIN) is not None
        )

    @property
    def name(self) -> str:
        """Of the reference scan."""
        return (
            str(self.reference.GetName()) if self.reference is not None else "a scan that is gone"
        )

    @property
    def scans(self) -> dict[Modality, Node]:
        """The volume nodes that were used and are still there."""
        return {m: node for m in Modality if (node := self._get(f"scan-{m.value}")) is not None}

    @property
    def layers(self) -> dict[str, Node]:
        """Key of the layer → volume node, the main one first."""
        roles: list[str] = []
        self.node.GetNodeReferenceRoles(roles)
        found = {
            r.removeprefix("layer-"): node
            for r in roles
            if r.startswith("layer-") and (node := self._get(r)) is not None
        }
        return dict(sorted(found.items(), key=lambda item: (rank(item[0]), item[0])))

    @property
    def segmentation(self) -> Node | None:
        """The segmentation that follows the sliders."""
        return self._get("segmentation")

    @property
    def edited(self) -> bool:
        """Whether somebody has changed the voxels of the segmentation since it was written."""
        node = self.segmentation
        return node is not None and fingerprint(node, self.reference) != self._record.get(
            "fingerprint"
        )

    @property
    def settings(self) -> SegmentationSettings:
        """Those of the last mask; the defaults before the first."""
        saved = self._record.get("settings")
        return segmentation_from_dict(saved) if saved else self.defaults

    @property
    def defaults(self) -> SegmentationSettings:
        """The default settings for the contrasts that were looked at."""
        return default_segmentation([Modality(name) for name, *_ in self._record.get("inputs", ())])

    @property
    def rejected(self) -> list[tuple[int, int, int]]:
        """(k, j, i) of the findings that the reader has rejected. Kept in mm: loading may turn the axes of a volume."""
        points = np.array(self._record.get("rejected", []), float).reshape(-1, 3)
        to_index = np.linalg.inv(local_affine(self.reference))
        where = np.round(points @ to_index[:3, :3].T + to_index[:3, 3]).astype(int)
        return [(k, j, i) for i, j, k in where.tolist()]

    @rejected.setter
    def rejected(self, places: Collection[tuple[int, int, int]]) -> None:
        affine = local_affine(self.reference)
        points = [(affine @ [i, j, k, 1.0])[:3].round(3).tolist() for k, j, i in sorted(places)]
        self._record = {**self._record, "rejected": points}

    def write_segmentation(
        self,
        segmentation: Segmentation,
        settings: SegmentationSettings,
        rejected: Collection[int] = (),
        one_each: bool = False,
        overwrite: bool = False,
    ) -> Node:
        """Segments and table of the findings.

        Args:
            segmentation: mask and findings; rejected ones have no place in ``segmentation.labels`` any more.
            settings: those that made it, kept for the next session.
            rejected: numbers of the findings to be listed as rejected.
            one_each: a segment a finding.
            overwrite: also when it has been edited by hand.

        Raises:
            EditedByHand: it has been edited, and ``overwrite`` is off.
        """
        node = self.segmentation
        if node is not None and not overwrite and self.edited:
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
        self._record = {
            **self._record,
            "fingerprint": fingerprint(node, reference),
            "settings": to_dict(settings),
        }
        return node

    @property
    def explainable(self) -> bool:
        """Whether what the network looked at was kept, so that a single finding can be explained."""
        return has_input(self.node)

    @property
    def looked_at(self) -> LookedAt:
        """What the network looked at.

        Raises:
            BadResults: it was not kept, or was changed.
        """
        return read_input(self.node)

    def write_finding_map(self, number: int, heat: NDArray[np.float32]) -> Node:
        """The Grad-CAM of one finding as a layer, in the place of the last one; returns its node.

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

    def drop_finding_map(self) -> None:
        """Take that layer out: its finding is no longer what it was."""
        self._drop_stale(set(self.layers) - {FINDING})

    def let_go_of_segmentation(self) -> Node | None:
        """Leave the segmentation to whoever edited it; the next mask goes into a new one."""
        node = self.segmentation
        if node is not None:
            self.node.SetNodeReferenceID("segmentation", None)
            for segment_id in our_segments(node).values():
                node.GetSegmentation().GetSegment(segment_id).RemoveTag("BrainSSLAnomaly.Finding")
            if not node.GetName().endswith("(edited)"):
                node.SetName(f"{node.GetName()} (edited)")
        return node

    def remove(self) -> None:
        """Take every node of these results out of the scene, edited segmentations excepted."""
        if self.edited:
            self.let_go_of_segmentation()
        folder = hierarchy.folder_of(self.layers.get(MAIN))
        roles: list[str] = []
        self.node.GetNodeReferenceRoles(roles)
        for role in roles:
            if role != "reference" and not role.startswith("scan-"):
                node = self._get(role)
                if node is not None:
                    remove_node(node)
        slicer.mrmlScene.RemoveNode(self.node)
        hierarchy.remove_if_empty(folder)

    def _fill(self, detection: Detection, reference: Node, made: list[Node]) -> None:
        for layer in layers_of(detection):
            self._write_layer(layer, reference, made)
        write_input(self.node, detection.looked_at, reference, made, SOURCE)
        arrays = (
            detection.brain_mask.astype(np.uint8),
            detection.anatomy.regions,
            detection.anatomy.zones,
        )
        for name, array in zip(_ANATOMY, arrays, strict=True):
            old = self._get(name)
            node = write_map(
                old,
                f"{reference.GetName()} {name}",
                array.astype(np.uint8),
                reference,
                "vtkMRMLLabelMapVolumeNode",
            )
            if old is None:
                made.append(node)
                node.SetHideFromEditors(True)
            self.node.SetNodeReferenceID(name, node.GetID())

    def _write_layer(self, layer: Layer, reference: Node, made: list[Node]) -> None:
        old = self._get(f"layer-{layer.key}")
        node = write_map(
            old, f"{reference.GetName()} {layer.title}", layer.array.astype(np.float32), reference
        )
        if old is None:
            made.append(node)
            dress(node, layer, reference)
            node.SetAttribute("BrainSSLAnomaly.Layer", layer.title)
        self._adopt(f"layer-{layer.key}", node, reference)

    def _adopt(self, role: str, node: Node, reference: Node | None = None) -> None:
        """Remember a node, note where it came from, and put it into the folder of the results."""
        reference = reference if reference is not None else self.reference
        assert reference is not None
        self.node.SetNodeReferenceID(role, node.GetID())
        node.SetNodeReferenceID(SOURCE, reference.GetID())
        hierarchy.put_beside(node, reference, self.layers.get(MAIN))

    def _drop_stale(self, keys: set[str]) -> None:
        for key, node in self.layers.items():
            if key not in keys:
                self.node.SetNodeReferenceID(f"layer-{key}", None)
                remove_node(node)

    def _get(self, role: str) -> Node | None:
        return self.node.GetNodeReference(role)

    @property
    def _record(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self.node.GetParameter("record") or "{}"))
        except ValueError:
            return {}

    @_record.setter
    def _record(self, values: dict[str, Any]) -> None:
        kept = {
            k: self._record[k] for k in ("fingerprint", "settings", "rejected") if k in self._record
        }
        self.node.SetParameter("record", json.dumps({**kept, **values}))


def _new_holder(reference: Node) -> Node:
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetAttribute("ModuleName", MARK)
    node.SetName(f"{reference.GetName()} anomaly results")
    node.SetHideFromEditors(True)
    node.SaveWithSceneOn()
    return slicer.mrmlScene.AddNode(node)
