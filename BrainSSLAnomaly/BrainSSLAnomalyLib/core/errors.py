"""What can go wrong, in words a radiologist understands, with what to do next."""

from __future__ import annotations


class BrainSSLAnomalyError(Exception):
    """Base of everything that the package refuses to do. Shown as one sentence, exit code 2, never as a traceback.

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
    """The file or folder cannot be read as an image."""


class UnsuitableScan(BrainSSLAnomalyError):
    """The image was read, but it cannot be a structural MRI of a brain that this program can work on."""


class AmbiguousInput(BrainSSLAnomalyError):
    """More than one reading is possible (several series, unknown modality): the user must choose."""


class ResultsExist(BrainSSLAnomalyError):
    """Results would be overwritten."""


class BadResults(BrainSSLAnomalyError):
    """A folder of results is incomplete or was made by something else."""


class BadSettings(BrainSSLAnomalyError):
    """A setting is outside its range."""


class PreparationFailed(BrainSSLAnomalyError):
    """Registration or brain extraction gave something that cannot be a brain."""


class DamagedModel(BrainSSLAnomalyError):
    """The shipped weights are damaged, or are not those that were shipped."""


class Cancelled(BrainSSLAnomalyError):
    """The user stopped the run. Raised by a progress callback, passed through by every room."""

    def __init__(self) -> None:
        super().__init__("Cancelled", "nothing was written")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), ()
