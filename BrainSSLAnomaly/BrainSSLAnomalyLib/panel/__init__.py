"""The parts of Slicer's panel, one class a section. This room and ``BrainSSLAnomaly.py`` alone know Qt."""

from .explaining import Explaining
from .export import Handover
from .findings import Findings
from .job_monitor import Run, environment, python
from .layers import Layers
from .scans import Scans
from .setup import Care
from .tuning import Tuning

MENU_FILE = __file__.replace("__init__.py", "BrainSSLAnomalySubjectHierarchyPlugin.py")
"""What Slicer loads for the right-click menu of the Data module; it wants a path."""

__all__ = [
    "MENU_FILE",
    "Care",
    "Explaining",
    "Findings",
    "Handover",
    "Layers",
    "Run",
    "Scans",
    "Tuning",
    "environment",
    "python",
]
