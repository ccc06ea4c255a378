"""Files of a DICOM series: which are images, which are left out by name, which are refused."""

from pathlib import Path
from typing import Any

from uqrestore.scans.checksum import files_of, printable
from uqrestore.scans.dicom_header import parsing
from uqrestore.scans.errors import ScanError

MAGIC_AT, MAGIC = 128, b"DICM"
SUFFIXES = {".dcm", ".ima"}
PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
PRESENTATION_STATE = "1.2.840.10008.5.1.4.1.1.11."
NO_DICOM = "is not DICOM"
SHOWN = 3  # names of files left out that a note lists

Images = list[tuple[str, Any]]
"""Name and header of every image."""


def is_dicom(path: Path) -> bool:
    """Return whether a file is DICOM, or a folder holds a DICOM file or one named like it."""
    if path.is_dir():
        return any(_suffix(file) in SUFFIXES or is_dicom(file) for file in _entries(path))
    try:
        with path.open("rb") as file:
            start = file.read(MAGIC_AT + len(MAGIC))
    except OSError:
        return False
    return start.endswith(MAGIC) or _without_preamble(start)


def series_images(path: Path) -> tuple[Images, str]:
    """Return the images of one series, and a note on DICOM files that are left out.

    Texts and pictures beside the images are no slices. What has the name of an image but cannot
    be opened may be one, and a series without it is cropped: it is refused.

    Args:
        path: Folder of the series, or one file.

    Raises:
        ScanError: If pydicom is not installed, there is no image, an image cannot be read, or
            the images are of several series.
    """
    images: Images = []
    others: Images = []
    unread: list[tuple[Path, str]] = []
    for file in _entries(path) if path.is_dir() else [path]:
        fault = _fault(file)
        header = None if fault else _header(file)
        if header is None:
            unread.append((file, fault or f"{NO_DICOM}; remove it from the folder"))
        elif any(keyword in header for keyword in PIXELS):
            images.append((file.name, header))
        else:
            others.append((file.name, header))
    with parsing(str(path)):
        _refuse_unread(unread, images)
        _refuse_cut(others, images)
        _one_series(path, images)
        _refuse_other_scale(others, images)
    left = [name for name, _ in others]
    left += [p.name for p in sorted(path.glob("*/")) if is_dicom(p)] if path.is_dir() else []
    return images, _left_out(left)


def _entries(folder: Path) -> list[Path]:
    """Return the visible files of a folder, sorted, and the links that lead nowhere."""
    lost = (p for p in folder.iterdir() if p.is_symlink() and not p.exists())
    return sorted([*files_of(folder), *(p for p in lost if not p.name.startswith("."))])


def _fault(file: Path) -> str:
    """Return why a file cannot hold an image, with a remedy; empty if it can."""
    if file.is_symlink() and not file.exists():
        return "is a link to a file that is not there; fetch it (git annex get, datalad get)"
    try:
        with file.open("rb") as opened:
            start = opened.read(64)
    except OSError as error:
        return f"cannot be read ({error.strerror}); check its rights"
    if not start:
        return "is empty; copy it again"
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file; fetch it (git lfs pull)"
    return ""


def _header(file: Path) -> Any | None:  # noqa: ANN401  (pydicom's Dataset)
    """Read a DICOM file, with or without preamble; None if it is no DICOM."""
    try:
        import pydicom
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
    except ModuleNotFoundError:
        raise ScanError(
            f"{file}: DICOM needs the package pydicom: pip install 'uqrestore[dicom]'."
        ) from None
    if not is_dicom(file):
        return None
    with parsing(str(file)):
        header = pydicom.dcmread(file, force=True)
        if "SOPClassUID" not in header and not any(k in header for k in PIXELS):
            if header.preamble is None:
                return None
            raise ValueError("it ends before it states what it is")
        if "TransferSyntaxUID" not in header.file_meta:  # no file meta group
            implicit = header.original_encoding[0]
            syntax = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
            header.file_meta.TransferSyntaxUID = syntax
    return header


def _without_preamble(start: bytes) -> bool:
    """Return whether bytes begin like a data set: group 0002 or 0008, a low element."""
    group, element = (int.from_bytes(start[i : i + 2], "little") for i in (0, 2))
    explicit = start[4:6].isalpha() and start[4:6].isupper()
    short = int.from_bytes(start[4:8], "little") <= 1024
    return len(start) >= 8 and group in (2, 8) and element <= 0x20 and (explicit or short)


def _refuse_unread(unread: list[tuple[Path, str]], images: Images) -> None:
    named = SUFFIXES | {_suffix(Path(name)) for name, _ in images}
    for file, fault in unread:
        suffix = _suffix(file)
        text = fault.startswith(NO_DICOM) and not suffix  # such as README beside IM0001
        if suffix in named and not text:
            raise ScanError(f"{file}: {fault}.")


def _suffix(file: Path) -> str:
    """Return the suffix in lower case; none where it is a number, as in names that are UIDs."""
    suffix = file.suffix.lower()
    return "" if suffix[1:].isdigit() else suffix


def _one_series(path: Path, images: Images) -> None:
    if not images:
        raise ScanError(f"{path}: holds no DICOM image; give the folder of one series.")
    series: dict[str, list[str]] = {}
    for name, header in images:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(name)
    if len(series) > 1:
        names = ", ".join(f"{printable(n[0])} and {len(n) - 1} more" for n in series.values())
        raise ScanError(
            f"{path}: holds {len(series)} series ({names}); put each in a folder of its own."
        )


def _refuse_cut(others: Images, images: Images) -> None:
    """Refuse images whose pixels are missing: of the kind of the others, or with a matrix size."""
    kinds = {str(header.get("SOPClassUID")) for _, header in images}
    for name, header in others:
        if "Rows" in header or str(header.get("SOPClassUID")) in kinds:
            raise ScanError(f"{name}: holds no pixels, so it was cut short; copy it again.")


def _refuse_other_scale(others: Images, images: Images) -> None:
    """Refuse presentation states that give the images another scale than their own headers."""
    for name, header in others:
        if not str(header.get("SOPClassUID", "")).startswith(PRESENTATION_STATE):
            continue
        for keyword in ("RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence"):
            theirs, ours = header.get(keyword), images[0][1].get(keyword)
            if theirs is not None and theirs != ours:
                raise ScanError(
                    f"{name}: is a presentation state that gives the images another scale "
                    f"({keyword}); move it out of the folder to read the images in their own."
                )


def _left_out(names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"left out, no images: {', '.join(map(printable, names[:SHOWN]))}{more}"
