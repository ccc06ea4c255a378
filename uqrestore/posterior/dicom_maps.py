"""Maps of a posterior file in the conventions of DICOM: orientation, place, and identity."""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.view import PosteriorFile

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
RIGHT_ANGLE = 1e-3  # cosine; DICOM planes have no other
PERSONAL = (  # of the scan that the maps are filed beside, where its series is given
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
SUMMARIES = {
    "mmse": "posterior mean",
    "std": "posterior standard deviation",
    "linear_mmse": "linear MMSE estimate",
    "cg_sense": "CG-SENSE",
    "l1_wavelet": "l1-wavelet reconstruction",
    "filtered_back_projection": "filtered back-projection",
}


@dataclass(frozen=True, eq=False)
class DicomMap:
    """One map, ready to be written.

    Attributes:
        name: Of the variable.
        values: Rows from anterior, columns from the right, float32.
        positions: Centre of the first pixel of every slice, LPS mm.
        across: Unit vector of increasing column.
        down: Unit vector of increasing row.
        spacing: Distance of rows, of columns and of slices in mm.
        unit: Of the values.
        tags: What the posterior file knows of the source.
    """

    name: str
    values: Float[np.ndarray, "slice row column"]
    positions: Float[np.ndarray, "slice 3"]
    across: Float[np.ndarray, " 3"]
    down: Float[np.ndarray, " 3"]
    spacing: tuple[float, float, float]
    unit: str
    tags: dict[str, str]

    @property
    def summary(self) -> str:
        """Human-readable name of the map."""
        return SUMMARIES.get(self.name, self.name.replace("_", " "))


def read_maps(path: Path, names: Sequence[str]) -> Iterator[DicomMap]:
    """Yield maps of a posterior file, its restored slices alone.

    Raises:
        PosteriorError: If the file is not finished, has no such map, or its rows and columns are
            not at right angles.
    """
    with PosteriorFile(path) as file:
        file.require_sound()
        grid = file.placement.model
        linear = RAS_TO_LPS @ grid.affine[:3, :3]
        unit_vectors = linear / np.asarray(grid.spacing)
        if abs(unit_vectors[:, 0] @ unit_vectors[:, 1]) > RIGHT_ANGLE:
            raise PosteriorError(
                f"{path}: rows and columns of its slices are not at right angles, which DICOM "
                "cannot say; export NIfTI."
            )
        slices = file.slices
        for name in names:
            variable = file.variable(name)
            if variable.dims != ("z", "y", "x"):
                known = [n for n in file.maps if file.variable(n).dims == ("z", "y", "x")]
                raise PosteriorError(
                    f"{path}: has no real map {name!r}; it can be {', '.join(known)}."
                )
            corner = np.stack([[grid.shape[0] - 1, grid.shape[1] - 1, k] for k in slices])
            yield DicomMap(
                name=name,
                values=np.ascontiguousarray(variable.values[:, ::-1, ::-1]),
                positions=grid.position(corner.astype(float)) @ RAS_TO_LPS,
                across=-unit_vectors[:, 0],
                down=-unit_vectors[:, 1],
                spacing=(grid.spacing[1], grid.spacing[0], _between(grid.spacing[2], slices)),
                unit=str(variable.attrs["units"]),
                tags=file.provenance.get("scan", {}).get("tags", {}),
            )


def _between(spacing: float, slices: np.ndarray) -> float:
    return spacing * float(np.median(np.diff(slices))) if len(slices) > 1 else spacing


def study_of(source: Path | str | None) -> dict[str, Any]:
    """Return the patient and study of the source's series, or those of nobody.

    Raises:
        PosteriorError: If there is no such series, or its texts are in no known character set.
    """
    from pydicom.uid import generate_uid

    anonymous = {
        "PatientID": "ANONYMOUS",
        "PatientName": "ANONYMOUS",
        "PatientBirthDate": "",
        "PatientSex": "",
        "AccessionNumber": "",
        "StudyID": "1",
        "StudyInstanceUID": generate_uid(),
        "StudyDate": "",
        "StudyTime": "",
        "ReferringPhysicianName": "",
    }
    if source is None:
        return anonymous
    if not Path(source).exists():
        raise PosteriorError(f"{source}: no such folder; give the scan's own series.")
    from uqrestore.scans import ScanError
    from uqrestore.scans.dicom import first_header

    try:
        header = first_header(Path(source))
    except ScanError as error:
        raise PosteriorError(str(error)) from error
    return anonymous | {
        name: _text(header, name, Path(source)) for name in PERSONAL if name in header
    }


def _text(header: Any, keyword: str, source: Path) -> str:  # noqa: ANN401  (pydicom's Dataset)
    """Return the text of an attribute, once it is sure in which character set it is written.

    Raises:
        PosteriorError: If it is not, so that the maps might be filed under another name.
    """
    from pydicom.charset import python_encoding

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be decoded is refused below
        stated = header.get("SpecificCharacterSet") or ""
        text = str(header[keyword].value or "")
    stated = [stated] if isinstance(stated, str) else list(stated)
    known = any(stated) and all(name in python_encoding for name in stated)
    if text.isascii() or (known and "\N{REPLACEMENT CHARACTER}" not in text):
        return text
    raise PosteriorError(
        f"{source}: its {keyword} has letters outside the character set that the files state "
        f"({', '.join(stated) or 'none'}); correct SpecificCharacterSet of the series, or leave "
        "out --source for anonymous maps."
    )


def header_of(item: DicomMap, study: dict[str, Any], k: int) -> Any:  # noqa: ANN401
    """Return the header that every object of a slice shares."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    header: Any = Dataset()
    if not "".join([*map(str, study.values()), item.unit, item.summary]).isascii():
        header.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    for name, value in study.items():
        setattr(header, name, value)
    is_ct = item.tags.get("Modality") == "CT" or item.unit == "HU"
    header.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{2 if is_ct else 4}"
    header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[study["StudyInstanceUID"], item.name])
    frame = item.tags.get("FrameOfReferenceUID") or ""
    known = re.fullmatch(r"[0-9.]{1,64}", frame)
    header.FrameOfReferenceUID = (
        frame if known else generate_uid(entropy_srcs=[study["StudyInstanceUID"]])
    )
    header.PositionReferenceIndicator = ""
    header.Modality = "CT" if is_ct else "MR"
    body = _code(item.tags.get("BodyPartExamined"))
    header.BodyPartExamined = body or ("" if is_ct else "BRAIN")
    if laterality := _code(item.tags.get("Laterality")):
        header.Laterality = laterality
    header.Manufacturer = "uqrestore"
    header.ImagePositionPatient = [decimal(v) for v in item.positions[k]]
    header.ImageOrientationPatient = [decimal(v) for v in (*item.across, *item.down)]
    header.PixelSpacing = [decimal(v) for v in item.spacing[:2]]
    header.SliceThickness = decimal(item.spacing[2])
    header.Rows, header.Columns = item.values.shape[1:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 0
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def _code(value: str | None) -> str:
    """Return a value as it may stand in a coded string, or nothing where it may not."""
    return value if value and re.fullmatch(r"[A-Z0-9_ ]{1,16}", value) else ""


def decimal(value: float) -> str:
    """Return a number as the 16 characters that DICOM gives it."""
    for digits in range(15, 5, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{float(value):.8e}"[:16]
