"""XML header of ISMRMRD: matrix sizes, fields of view, encoding limits."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from uqrestore.scans.errors import ScanError

CARTESIAN = ("", "cartesian")


@dataclass(frozen=True)
class Limits:
    """Encoding limits of one counter.

    Attributes:
        minimum: Smallest step.
        maximum: Largest step.
        center: Step of zero frequency.
    """

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True)
class Header:
    """First encoding of the header; sizes are along readout, phase and slice.

    Attributes:
        name: File name, for messages.
        trajectory: Trajectory in lower case; empty where none is stated.
        encoded: Matrix of the acquired k-space, with readout oversampling.
        encoded_mm: Field of view of ``encoded`` in mm.
        recon: Matrix of the scanner's own image, which may be interpolated.
        recon_mm: Field of view of ``recon`` in mm.
        phase: Limits of the phase encoding, if stated.
        partition: Limits of the second phase encoding of 3-D scans, if stated.
        calibration: Calibration mode of parallel imaging, such as ``"embedded"``; empty where
            none is stated.
        receiver_bandwidth: Noise power averaged over the band of the receiver, relative to its
            centre.
    """

    name: str
    trajectory: str
    encoded: tuple[int, int, int]
    encoded_mm: tuple[float, float, float]
    recon: tuple[int, int, int]
    recon_mm: tuple[float, float, float]
    phase: Limits | None
    partition: Limits | None
    calibration: str
    receiver_bandwidth: float

    @property
    def center(self) -> int:
        """Phase-encoding step of zero frequency."""
        return self.encoded[1] // 2 if self.phase is None else self.phase.center

    @property
    def partition_center(self) -> int:
        """Step of zero frequency of the second phase encoding."""
        return self.encoded[2] // 2 if self.partition is None else self.partition.center

    @property
    def readout(self) -> int:
        """Number of pixels of the image along the readout.

        The field of view decides: a reconstruction matrix may be interpolated by zero filling.
        """
        ratio = min(1.0, self.recon_mm[0] / self.encoded_mm[0])
        return max(1, round(self.encoded[0] * ratio))

    @property
    def pixel(self) -> tuple[float, float]:
        """Pixel size along readout and phase in mm: field of view over number of samples."""
        return self.encoded_mm[0] / self.encoded[0], self.encoded_mm[1] / self.encoded[1]


def read_header(text: Any, name: str) -> Header:  # noqa: ANN401 - bytes, str or what h5py has
    """Read the XML header of ISMRMRD.

    Raises:
        ScanError: If the text is no XML, states no encoding, or its slices were excited together.
    """
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, TypeError) as error:
        raise ScanError(
            f"{name}: its ISMRMRD header is not XML ({error}); write the header that came with "
            "the k-space."
        ) from error
    encoding = root.find("{*}encoding")
    if encoding is None:
        raise ScanError(
            f"{name}: its header states no encoding; matrix and field of view of encodedSpace and "
            "reconSpace are needed."
        )
    multiband = float(encoding.findtext(".//{*}multiband/{*}multiband_factor") or 1)
    if multiband > 1:
        raise ScanError(
            f"{name}: {multiband:g} slices were excited together (multiband); separate them "
            "before they are restored."
        )
    mode = encoding.findtext("{*}parallelImaging/{*}calibrationMode") or ""
    system = "{*}acquisitionSystemInformation/{*}relativeReceiverNoiseBandwidth"
    bandwidth = float(root.findtext(system) or 1)
    return Header(
        name=name,
        trajectory=(encoding.findtext("{*}trajectory") or "").strip().lower(),
        encoded=_whole(_three(encoding, "encodedSpace", "matrixSize", name)),
        encoded_mm=_three(encoding, "encodedSpace", "fieldOfView_mm", name),
        recon=_whole(_three(encoding, "reconSpace", "matrixSize", name)),
        recon_mm=_three(encoding, "reconSpace", "fieldOfView_mm", name),
        phase=_limits(encoding, "kspace_encoding_step_1", name),
        partition=_limits(encoding, "kspace_encoding_step_2", name),
        calibration=mode.strip().lower(),
        receiver_bandwidth=bandwidth if 0 < bandwidth <= 1 else 1.0,
    )


def _three(encoding: Any, space: str, what: str, name: str) -> tuple[float, float, float]:  # noqa: ANN401
    found = [encoding.findtext(f"{{*}}{space}/{{*}}{what}/{{*}}{axis}") for axis in "xyz"]
    try:
        x, y, z = (float(value) for value in found)
    except (TypeError, ValueError):
        x = y = z = 0.0
    if min(x, y, z) <= 0 or not np.isfinite([x, y, z]).all():
        raise ScanError(f"{name}: its header has no usable {what} of the {space}.")
    return x, y, z


def _whole(size: tuple[float, float, float]) -> tuple[int, int, int]:
    return int(size[0]), int(size[1]), int(size[2])


def _limits(encoding: Any, counter: str, name: str) -> Limits | None:  # noqa: ANN401
    found = encoding.find(f"{{*}}encodingLimits/{{*}}{counter}")
    if found is None:
        return None
    try:
        values = [int(found.findtext(f"{{*}}{key}")) for key in ("minimum", "maximum", "center")]
    except (TypeError, ValueError) as error:
        raise ScanError(
            f"{name}: its encoding limits of {counter} need minimum, maximum and center."
        ) from error
    return Limits(*values)
