"""DICOM series: read into a Scan, or refused by name and millimetre; nothing personal is kept."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.scans.errors import ScanError
from uqrestore.scans.grid import Grid, nearest_ras
from uqrestore.scans.inputs import files_of, input_sha256, printable
from uqrestore.scans.scan import Scan, Source, scan_from_array

KEPT_TAGS = ("Modality", "BodyPartExamined", "Laterality", "FrameOfReferenceUID")
"""All that is remembered of a header beside geometry and units; free text can name people."""

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.01  # decimal strings are rounded, most coarsely to hundredths
SAME_STEP = 0.01  # of the distance of two slices
MAGIC_AT, MAGIC = 128, b"DICM"
LOOKED_AT = 5  # files of a folder that are opened to see whether it is a series

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


def read_dicom(
    path: Path, *, mask: Path | None = None, volume: int | None = None, allow_gaps: bool = False
) -> Scan:
    """Read one series: a folder of classic images, or enhanced multi-frame files.

    Args:
        path: Folder of one series, or one file.
        mask: The brain mask as NIfTI, on the voxel grid of the series; any axis order.
        volume: Which volume, from 0, where there are several images at every place.
        allow_gaps: Fill missing slices with the darkest value, outside the mask, rather than
            refuse the series.

    Returns:
        The scan, rescale slope applied; its source keeps the tags of ``KEPT_TAGS`` alone.

    Raises:
        ScanError: If there is no DICOM image, more than one series, orientation or size, a slice
            is missing, the spacing is irregular, or the values cannot be decoded.
    """
    headers = _one_series(path, list(_headers(path)))
    frames = [frame for name, header in headers for frame in _frames(name, header)]
    frames, note = _one_volume(_parallel(frames), volume)
    step, places = _steps(frames, allow_gaps)
    first = frames[0]
    voxels = np.full((*first.values.shape[::-1], places[-1] + 1), np.nan, np.float64)
    for place, frame in zip(places, frames, strict=True):
        voxels[:, :, place] = frame.values.T
    missing = places[-1] + 1 - len(frames)
    if missing:
        voxels = np.where(np.isnan(voxels), np.nanmin(voxels), voxels)
        note = "; ".join(filter(None, (note, f"missing slices left dark: {missing}")))
    affine = np.eye(4)
    affine[:3, 0] = first.across * first.pixel[1]
    affine[:3, 1] = first.down * first.pixel[0]
    affine[:3, 2], affine[:3, 3] = step, first.position
    affine = LPS_TO_RAS @ affine
    header = headers[0][1]
    tags = tuple((name, printable(str(header.get(name, "")))) for name in KEPT_TAGS)
    source = Source(
        name=f"{dict(tags)['Modality'] or 'DICOM'} series of {len(frames)} images",
        format="DICOM",
        sha256=input_sha256(path),
        mask_sha256="" if mask is None else input_sha256(mask),
        volume=volume,
        note=note,
        tags=tags,
    )
    inside = None if mask is None else _mask_on(mask, voxels.shape, affine)
    return scan_from_array(voxels, affine, source=source, mask=inside, unit=_unit(header))


def is_dicom(path: Path) -> bool:
    """Say whether a file, or one of the first files of a folder, is DICOM."""
    if path.is_dir():
        return any(is_dicom(file) for file in files_of(path)[:LOOKED_AT])
    try:
        with path.open("rb") as file:
            return file.read(MAGIC_AT + len(MAGIC)).endswith(MAGIC)
    except OSError:
        return False


def first_header(path: Path) -> Any:  # noqa: ANN401  (pydicom's Dataset)
    """Return the header of the first image of a series.

    Raises:
        ScanError: If there is no DICOM image, or more than one series.
    """
    return _one_series(path, list(_headers(path)))[0][1]


def _headers(path: Path) -> Iterator[tuple[str, Any]]:
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


def _one_series(path: Path, headers: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
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


def _frames(name: str, header: Any) -> Iterator[Frame]:  # noqa: ANN401  (pydicom's Dataset)
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


def _parallel(frames: list[Frame]) -> list[Frame]:
    first = frames[0]
    for frame in frames:
        turned = max(
            np.abs(frame.across - first.across).max(), np.abs(frame.down - first.down).max()
        )
        if turned > 1e-3:
            raise ScanError(
                f"{first.file} and {frame.file} are turned against each other; a scan is a stack "
                "of parallel slices. Is this a localiser?"
            )
        if frame.values.shape != first.values.shape or not np.allclose(frame.pixel, first.pixel):
            raise ScanError(
                f"{first.file} has {first.values.shape} pixels of {first.pixel} mm but {frame.file}"
                f" {frame.values.shape} of {frame.pixel} mm; they are not one scan."
            )
    return sorted(frames, key=lambda frame: (frame.depth, frame.order))


def _one_volume(frames: list[Frame], volume: int | None) -> tuple[list[Frame], str]:
    """Choose one image at every place."""
    stacks: list[list[Frame]] = []
    for frame in frames:
        same = stacks and abs(frame.depth - stacks[-1][0].depth) <= SAME_PLACE_MM
        if same:
            stacks[-1].append(frame)
        else:
            stacks.append([frame])
    counts = {len(stack) for stack in stacks}
    if counts == {1}:
        if volume not in (None, 0):
            raise ScanError(f"the series holds one volume, so volume={volume} does not exist.")
        return frames, ""
    many = max(stacks, key=len)
    if len(counts) > 1:
        raise ScanError(
            f"{many[0].file} and {many[1].file} lie at the same place, other places have fewer "
            "images; export one volume."
        )
    [count] = counts
    if volume is None or not 0 <= volume < count:
        raise ScanError(
            f"the series holds {count} volumes ({many[0].file} and {many[1].file} lie at the same "
            f"place); say which with volume=0 to {count - 1}."
        )
    ordered = [sorted(stack, key=lambda frame: frame.order) for stack in stacks]
    return [stack[volume] for stack in ordered], f"volume {volume} of {count}"


def _steps(frames: list[Frame], allow_gaps: bool) -> tuple[Vector, list[int]]:
    """Return the vector from slice to slice, and the number of the slice of every frame."""
    first = frames[0]
    normal = np.cross(first.across, first.down)
    if len(frames) == 1:
        return normal * first.thickness, [0]
    gaps = np.diff([frame.depth for frame in frames])
    usual = float(np.median(gaps))
    whole = np.maximum(np.rint(gaps / usual), 1).astype(int)
    places = [0, *np.cumsum(whole).tolist()]
    step = (frames[-1].position - first.position) / places[-1]
    off = [
        float(np.linalg.norm(frame.position - first.position - place * step))
        for place, frame in zip(places, frames, strict=True)
    ]
    if max(off) > max(SAME_PLACE_MM, SAME_STEP * usual):
        k, j = int(np.argmax(gaps)), int(np.argmin(gaps))
        raise ScanError(
            f"the slices are not regularly spaced: {_gap(frames, k, gaps)}, but "
            f"{_gap(frames, j, gaps)}; a voxel grid cannot hold them. Export one regular stack."
        )
    if places[-1] + 1 > len(frames) and not allow_gaps:
        k = int(np.argmax(gaps))
        count = places[-1] + 1 - len(frames)
        raise ScanError(
            f"{count} slice{'s are' if count > 1 else ' is'} missing: {_gap(frames, k, gaps)}, "
            f"where the others lie {usual:.3f} mm apart; copy the series again, or pass "
            "--allow-gaps to leave the place dark."
        )
    return step, places


def _gap(frames: list[Frame], k: int, gaps: Iterable[float]) -> str:
    distance = list(gaps)[k]
    return f"from {frames[k].file} to {frames[k + 1].file} it is {distance:.3f} mm"


def _mask_on(path: Path, shape: tuple[int, ...], affine: np.ndarray) -> np.ndarray:
    """Bring a NIfTI mask that lies on the series' voxels into their order."""
    from uqrestore.scans.nifti import read_voxels

    values, place = read_voxels(path)
    theirs, ours = nearest_ras(place), nearest_ras(affine)
    same = values.ndim == 3 and sorted(values.shape) == sorted(shape)
    if same:
        here = ours.apply_to_grid(Grid((shape[0], shape[1], shape[2]), affine))
        there = theirs.apply_to_grid(Grid(values.shape[:3], place))
        same = here.shape == there.shape and np.allclose(here.affine, there.affine, atol=1e-2)
    if not same:
        raise ScanError(
            f"{printable(path.name)}: lies on another grid than the series; give a mask on the "
            "series' own voxels."
        )
    return ours.undo(theirs.apply(values))


def _unit(header: Any) -> str:  # noqa: ANN401
    said = printable(str(header.get("RescaleType", "") or ""))
    if header.get("Modality") == "CT" and said in {"", "HU", "US"}:
        return "HU"
    return said if said not in {"", "US"} else "a.u."


def _first_line(error: BaseException) -> str:
    return printable((str(error) or type(error).__name__).splitlines()[0])
