"""Frames of DICOM files: values, place in the patient, and attributes that separate volumes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.scans.checksum import printable
from uqrestore.scans.dicom_header import FrameHeader, parsing
from uqrestore.scans.dicom_values import PixelValues, photometric_fault, pixel_values
from uqrestore.scans.errors import ScanError, first_line
from uqrestore.scans.memory import check_memory

Vector = Float[np.ndarray, " 3"]

SAME_IMAGE = (
    "FrameType", "ImageType", "ComplexImageComponent", "EchoNumbers", "EchoTime",
    "EffectiveEchoTime", "DiffusionBValue", "DiffusionGradientOrientation",
    "TemporalPositionIndex", "TemporalPositionIdentifier", "KVP", "ConvolutionKernel",
)  # fmt: skip
"""Attributes that all slices of one volume share."""

PER_SLICE = (
    "FlipAngle", "InversionTime", "InversionTimes", "NominalCardiacTriggerDelayTime", "TriggerTime",
    "SequenceName", "AcquisitionNumber", "FrameAcquisitionNumber", "AcquisitionTime",
    "FrameAcquisitionDateTime", "ContentTime",
)  # fmt: skip
"""Attributes that may separate volumes, and may also differ between slices of one volume."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a series.

    Attributes:
        file: Name of its file (and number of the frame), for error messages.
        position: Centre of the first pixel, LPS mm.
        across: Unit vector of increasing column.
        down: Unit vector of increasing row.
        pixel: Distance of rows, then of columns, in mm.
        thickness: Nominal, in mm.
        order: Number of the image in its series and of the frame in its file; None where the
            header states no number.
        pixels: Values and padding.
        attributes: Text of the attributes that may separate volumes, as far as they are stated.
    """

    file: str
    position: Vector
    across: Vector
    down: Vector
    pixel: tuple[float, float]
    thickness: float
    order: tuple[int, int] | None
    pixels: PixelValues
    attributes: Mapping[str, str]

    @property
    def depth(self) -> float:
        """Distance along the normal of the plane."""
        return float(np.cross(self.across, self.down) @ self.position)


def frames_of(name: str, header: Any) -> list[Frame]:  # noqa: ANN401  (pydicom's Dataset)
    """Return the images of a file: one, or those of an enhanced multi-frame object.

    Raises:
        ScanError: If its pixels cannot be decoded, are no grey values, have values of no known
            meaning, or lie nowhere.
    """
    shown = printable(name)
    with parsing(shown):
        fault = photometric_fault(FrameHeader(header))
        if fault:
            raise ScanError(f"{shown}: {fault}.")
        count = int(header.get("NumberOfFrames", 1) or 1)
        if count > 1 and "PerFrameFunctionalGroupsSequence" not in header:
            raise ScanError(
                f"{shown}: holds {count} frames without functional groups, so their places are "
                "unknown; export one image a file, or an enhanced object."
            )
        check_memory(8 * count * int(header.get("Rows", 0)) * int(header.get("Columns", 0)), shown)
        pixels = _decoded(shown, header)
        stack = pixels if pixels.ndim == 3 else pixels[None]
        return [_frame(shown, plane, FrameHeader(header, k)) for k, plane in enumerate(stack)]


def _decoded(shown: str, header: Any) -> np.ndarray:  # noqa: ANN401
    try:
        return np.asarray(header.pixel_array)
    except Exception as error:  # decoders of many libraries raise many things
        raise ScanError(
            f"{shown}: its pixels cannot be decoded ({first_line(error)}); copy it again, or "
            "decompress it (dcmdjpeg, gdcmconv --raw)."
        ) from error


def _frame(shown: str, plane: np.ndarray, header: FrameHeader) -> Frame:
    name = f"{shown} frame {header.frame + 1}" if header.enhanced else shown
    unreadable = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
    try:
        pixels = pixel_values(plane, header)
    except unreadable as error:
        raise ScanError(
            f"{name}: the meaning of its values is not clear ({first_line(error)}); export it "
            "with a rescale slope and intercept."
        ) from error
    try:
        across, down = _directions(header)
        row, column = header.numbers("PixelSpacing", 2).tolist()
        if min(row, column) <= 0:
            raise ValueError(f"PixelSpacing is {[row, column]}")
        between = header.value("SpacingBetweenSlices", header.value("SliceThickness"))
        return Frame(
            file=name,
            position=header.numbers("ImagePositionPatient", 3),
            across=across,
            down=down,
            pixel=(row, column),
            thickness=abs(float(between or 0)) or min(row, column),
            order=_order(header),
            pixels=pixels,
            attributes=_attributes(header),
        )
    except unreadable as error:
        raise ScanError(
            f"{name}: states nothing usable on where its image lies ({first_line(error)}); "
            "a scan needs ImagePositionPatient, ImageOrientationPatient and PixelSpacing."
        ) from error


def _directions(header: FrameHeader) -> tuple[Vector, Vector]:
    if header.value("AnatomicalOrientationType") == "QUADRUPED":
        raise ValueError("AnatomicalOrientationType is QUADRUPED, whose axes are not a person's")
    across, down = header.numbers("ImageOrientationPatient", 6).reshape(2, 3)
    if abs(across @ down) > 1e-3 or not np.allclose([across @ across, down @ down], 1, atol=1e-2):
        raise ValueError("ImageOrientationPatient is no pair of unit vectors at right angles")
    return across / np.linalg.norm(across), down / np.linalg.norm(down)


def _order(header: FrameHeader) -> tuple[int, int] | None:
    number = header.value("InstanceNumber")
    if number is None and not header.enhanced:
        return None
    return int(number or 0), header.frame


def _attributes(header: FrameHeader) -> dict[str, str]:
    """Return the dimension indices first: where a file has them, they define its volumes."""
    stated = _dimensions(header)
    for keyword in (*SAME_IMAGE, *PER_SLICE):
        value = header.value(keyword)
        if value is not None:
            stated[keyword] = printable(str(value))
    return stated


def _dimensions(header: FrameHeader) -> dict[str, str]:
    from pydicom.datadict import keyword_for_tag

    pointers = header.sequence("DimensionIndexSequence")
    indices = header.value("DimensionIndexValues", [])
    indices = [indices] if isinstance(indices, int) else list(indices)
    names = [keyword_for_tag(item.get("DimensionIndexPointer", 0)) for item in pointers]
    return {
        f"index {i} ({name})": str(index)
        for i, (name, index) in enumerate(zip(names, indices, strict=False))
    }
