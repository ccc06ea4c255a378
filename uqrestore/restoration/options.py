"""Options of a run: what the user decides beside the pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

from uqrestore.conformal.guarantee import Guarantee
from uqrestore.posterior import Storage

Slices = int | Sequence[int] | None
"""A number of slices spread evenly through the brain, their indices, or every one with brain."""

KEEP_ALL = Storage()


@dataclass(frozen=True)
class RunOptions:
    """Options of one restoration or of all restorations of a batch.

    Only ``slices`` and ``resample`` change which numbers are computed; the rest decides where,
    how fast and into which file.

    Attributes:
        slices: A number of slices spread evenly through the brain, or their indices on the
            model grid, or None for every slice with brain.
        resample: Allow a change of the scan's pixel size to the prior's.
        allow_gaps: Accept a DICOM series with missing slices.
        batch_size: Images in one call of the prior; never changes a result. None takes the
            pipeline's.
        device: Device of the prior, such as ``cpu`` or ``cuda:1``.
        memory: Bytes that the process may take; fewer images are then drawn at once.
        overwrite: Replace an existing posterior file once the new one is complete.
        storage: Draws that the file keeps.
        guarantee: Calibrated guarantee that the intervals of the file shall have.

    Raises:
        ValueError: If a number is not positive, or no slice is asked for.
    """

    slices: Slices = None
    resample: bool = False
    allow_gaps: bool = False
    batch_size: int | None = None
    device: str = "cpu"
    memory: int | None = None
    overwrite: bool = False
    storage: Storage = KEEP_ALL
    guarantee: Guarantee | None = None

    def __post_init__(self) -> None:
        for name in ("batch_size", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}.")
        if isinstance(self.slices, int) and self.slices < 1:
            raise ValueError(f"slices must be 1 or more, or their indices, got {self.slices}.")


DEFAULTS = RunOptions()
