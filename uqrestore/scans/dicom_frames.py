"""Images of DICOM files: the headers of a series, and each image with where it lies."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.scans.checksum import files_of, printable
from uqrestore.scans.errors import ScanError

Vector = Float[np.ndarray, " 3"]


@dataclass(frozen=True, eq=False)
class Frame:
    """One image of a series.

    Attributes:
        file: Name of its file, for complaints.
        position: Centre of the first pixel in DICOM's LPS mm.
        across: Unit vector of increasing column.
        down: Unit vector of increasing row.
        pixel: Distance of rows, then of columns, in mm.
        thickness: Nominal, in mm.
        order: Number of the image in its series.
        values: In the units of the series.
    """

    file: str
    position: Vector
    across: Vector
    down: Vector
    pixel: tuple[float, float]
    thickness: float
    order: int
    values: Float[np.ndarray, "row column"]

    @property
    def depth(self) -> float:
        """Distance along the normal of the plane."""
        return float(np.cross(self.across, self.down) @ self.position)


def headers_of(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield name and header of every file of a folder that holds an image.

    Raises:
        ScanError: If pydicom is not installed, or a file is damaged.
    """
    try:
        import pydicom
        from pydicom.errors import InvalidDicomError
    except ModuleNotFoundError:
        raise ScanError(
            f"{path}: DICOM needs the package pydicom: pip install 'uqrestore[dicom]'."
        ) from None
    for file in files_of(path):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # decimals that are too long are read all the same
                header = pydicom.dcmread(file)
                image = "PixelData" in header or "FloatPixelData" in header
        except InvalidDicomError:
            continue  # a text beside the images
        except Exception as error:  # a broken header may raise almost anything
            raise ScanError(f"{file}: is damaged DICOM ({_first_line(error)}).") from error
        if image:
            yield file.name, header


def one_series(path: Path, headers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return headers as they are, once they are seen to be of one series.

    Raises:
        ScanError: If there are none, or they are of several; files of each are named.
    """
    if not headers:
        raise ScanError(f"{path}: holds no DICOM image; give the folder of one series.")
    series: dict[str, list[str]] = {}
    for name, header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(name)
    if len(series) > 1:
        words = ", ".join(f"{printable(n[0])} and {len(n) - 1} more" for n in series.values())
        raise ScanError(
            f"{path}: holds {len(series)} series ({words}); put each in a folder of its own."
        )
    return headers


def frames_of(name: str, header: Any) -> Iterator[Frame]:  # noqa: ANN401  (pydicom's Dataset)
    """Yield the images of a file: one, or those of an enhanced multi-frame object.

    Raises:
        ScanError: If its pixels cannot be decoded, are in colour, or lie nowhere.
    """
    shown = printable(name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pixels = np.asarray(header.pixel_array)
    except Exception as error:  # decoders of many libraries raise many things
        raise ScanError(
            f"{shown}: its pixels cannot be decoded ({_first_line(error)}); copy it again, or "
            "decompress it (dcmdjpeg, gdcmconv --raw)."
        ) from error
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise ScanError(f"{shown}: is in colour; a scan has one grey value a voxel.")
    stack = pixels if pixels.ndim == 3 else pixels[None]
    for k, plane in enumerate(stack):
        groups = _groups(header, k)
        try:
            yield _frame(shown, k, plane, groups)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise ScanError(
                f"{shown}: says nothing usable of where its image lies ({_first_line(error)}); "
                "a scan needs ImagePositionPatient, ImageOrientationPatient and PixelSpacing."
            ) from error


def _groups(header: Any, k: int) -> list[Any]:  # noqa: ANN401
    """Return what speaks of frame k, the most specific first; of a classic image its header."""
    groups = []
    for sequence in (
        header.get("PerFrameFunctionalGroupsSequence", [])[k : k + 1],
        header.get("SharedFunctionalGroupsSequence", [])[:1],
    ):
        for group in sequence:
            groups += [item.value[0] for item in group if item.VR == "SQ" and item.value]
    return [*groups, header]


def _frame(name: str, k: int, plane: np.ndarray, groups: list[Any]) -> Frame:
    across, down = _numbers(groups, "ImageOrientationPatient", 6).reshape(2, 3)
    if abs(across @ down) > 1e-3 or not np.allclose([across @ across, down @ down], 1, atol=1e-2):
        raise ValueError("ImageOrientationPatient is no pair of unit vectors at right angles")
    row, column = _numbers(groups, "PixelSpacing", 2).tolist()
    slope = float(_value(groups, "RescaleSlope", 1))
    intercept = float(_value(groups, "RescaleIntercept", 0))
    between = _value(groups, "SpacingBetweenSlices", _value(groups, "SliceThickness", None))
    return Frame(
        file=f"{name} frame {k + 1}" if "PerFrameFunctionalGroupsSequence" in groups[-1] else name,
        position=_numbers(groups, "ImagePositionPatient", 3),
        across=across / np.linalg.norm(across),
        down=down / np.linalg.norm(down),
        pixel=(row, column),
        thickness=abs(float(between or 0)) or min(row, column),
        order=int(_value(groups, "InstanceNumber", 0) or 0) * 100_000 + k,
        values=slope * plane.astype(np.float64) + intercept,
    )


def _value(groups: list[Any], keyword: str, default: object) -> Any:  # noqa: ANN401
    found = (group.get(keyword) for group in groups)
    return next((value for value in found if value is not None and value != ""), default)


def _numbers(groups: list[Any], keyword: str, count: int) -> np.ndarray:
    value = _value(groups, keyword, None)
    if value is None:
        raise ValueError(f"{keyword} is missing")
    numbers = np.asarray([float(str(v).strip()) for v in value])
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{keyword} is {numbers.tolist()}")
    return numbers


def _first_line(error: BaseException) -> str:
    return printable((str(error) or type(error).__name__).splitlines()[0])
