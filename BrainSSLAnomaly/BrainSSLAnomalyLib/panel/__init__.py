"""The sections of Slicer's panel; Qt is used here and in ``BrainSSLAnomaly.py`` only."""

from .detection import DetectionSection
from .explanation import ExplanationSection
from .export import ExportSection
from .findings import FindingsSection
from .job_monitor import slicer_python, worker_environment
from .layers import LayersSection
from .scans import ScansSection
from .setup import SetupSection
from .tuning import TuningSection

MENU_FILE = __file__.replace("__init__.py", "BrainSSLAnomalySubjectHierarchyPlugin.py")
"""Path of the plugin for the right-click menu of the Data module, which Slicer loads by path."""

__all__ = [
    "MENU_FILE",
    "DetectionSection",
    "ExplanationSection",
    "ExportSection",
    "FindingsSection",
    "LayersSection",
    "ScansSection",
    "SetupSection",
    "TuningSection",
    "slicer_python",
    "worker_environment",
]
