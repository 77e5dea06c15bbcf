"""Detection ⇄ MRML: the only room that imports slicer, and it knows no Qt, so that any front end can use it."""

from .grids import problem, scan_from_node, study_from_nodes, volume_from_node
from .results import EditedByHand, Results
from .views import jump, show_layers, show_threshold

__all__ = [
    "EditedByHand",
    "Results",
    "jump",
    "problem",
    "scan_from_node",
    "show_layers",
    "show_threshold",
    "study_from_nodes",
    "volume_from_node",
]
