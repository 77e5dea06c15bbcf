"""Results ⇄ MRML, the only room that imports slicer; without Qt."""

from .grids import scan_from_node, study_from_nodes, volume_from_node
from .results import EditedByHand, Results
from .views import jump_to, show_layers, show_threshold

__all__ = [
    "EditedByHand",
    "Results",
    "jump_to",
    "scan_from_node",
    "show_layers",
    "show_threshold",
    "study_from_nodes",
    "volume_from_node",
]
