"""Errors in words that a radiologist understands, each with the next step."""

from __future__ import annotations


class BrainSSLAnomalyError(Exception):
    """Refuse an input or a setting: shown as one sentence with exit code 2, never as a traceback.

    Args:
        what: what is wrong, without a full stop, e.g. ``brain.nii.gz has 4 axes (10 time points)``.
        next_step: what the user can do, e.g. ``export one time point and try again``.
    """

    def __init__(self, what: str, next_step: str) -> None:
        super().__init__(f"{what}: {next_step}.")
        self.what = what
        self.next_step = next_step

    def __reduce__(
        self,
    ) -> tuple[type, tuple[str, ...]]:  # so that it survives the way out of another process
        return type(self), (self.what, self.next_step)


class UnreadableScan(BrainSSLAnomalyError):
    """Refuse a file or folder that cannot be read as an image."""


class UnsuitableScan(BrainSSLAnomalyError):
    """Refuse an image that cannot be a structural MRI of a brain."""


class AmbiguousInput(BrainSSLAnomalyError):
    """Ask the user to choose: several series, or an unknown contrast."""


class ResultsExist(BrainSSLAnomalyError):
    """Refuse to overwrite results."""


class BadResults(BrainSSLAnomalyError):
    """Refuse a folder of results that is incomplete or was made by something else."""


class BadSettings(BrainSSLAnomalyError):
    """Refuse a setting outside its range."""


class PreparationFailed(BrainSSLAnomalyError):
    """Report that registration or brain extraction gave what cannot be a brain."""


class DamagedModel(BrainSSLAnomalyError):
    """Report that the weights are damaged, or are not those that were shipped."""


class Cancelled(BrainSSLAnomalyError):
    """Stop because the user wants to; raised by progress callbacks, caught by nobody below."""

    def __init__(self) -> None:
        super().__init__("Cancelled", "nothing was written")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), ()
