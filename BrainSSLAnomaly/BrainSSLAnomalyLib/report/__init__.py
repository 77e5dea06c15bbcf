"""What a person reads: the page, the table, the pictures."""

from .html import write_report

__all__ = ["write_report"]
