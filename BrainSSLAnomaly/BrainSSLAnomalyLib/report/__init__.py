"""The report: HTML page, CSV tables and figures."""

from .explanation_figure import explanation_figure
from .html import write_report

__all__ = ["explanation_figure", "write_report"]
