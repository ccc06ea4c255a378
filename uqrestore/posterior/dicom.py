"""Maps of a posterior file as DICOM: parametric maps, and plain series for simpler viewers.

Both lie on the model's grid, first row anterior and first column to the patient's right, as
radiologists look at axial slices. Only restored slices are written: none is padded.
"""

import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from uqrestore import __version__
from uqrestore.posterior.errors import PosteriorError
from uqrestore.posterior.layout import WARNING
from uqrestore.posterior.open import open_posterior, read_placement, root_attributes

KINDS = ("pmap", "series", "both")
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0])
RIGHT_ANGLE = 1e-3  # cosine; DICOM planes have no other
LEVELS = 65535
PERSONAL = (  # of the scan that the maps are filed beside, where its series is given
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
WORDS = {
    "mmse": "posterior mean",
    "std": "posterior standard deviation",
    "linear_mmse": "linear MMSE estimate",
}


@dataclass(frozen=True, eq=False)
class _Map:
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
    def words(self) -> str:
        """What the map is, in words."""
        return WORDS.get(self.name, self.name.replace("_", " "))


def export_dicom(
    path: Path | str,
    folder: Path | str,
    *,
    kind: str = "pmap",
    maps: Sequence[str] = ("mmse", "std"),
    source: Path | str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write maps of a finished posterior file as DICOM.

    Args:
        path: The posterior file.
        folder: Where the files go; made if missing.
        kind: ``pmap`` writes one parametric map object a map, floating point with units;
            ``series`` one 16-bit derived image a slice, with rescale slope, for viewers that
            show no parametric maps; ``both`` both.
        maps: Images of ``/estimate`` or ``/reference``.
        source: Folder of the scan's own series, whose patient and study the maps then join.
            Without it they are anonymous, in a study of their own.
        overwrite: Replace files that exist.

    Returns:
        Files of parametric maps and folders of series.

    Raises:
        PosteriorError: If a map does not exist, the file is not finished, its slices are no
            right-angled grid, an output exists, or the packages of the extra ``dicom`` are
            missing.
    """
    path, folder = Path(path), Path(folder)
    if kind not in KINDS:
        raise PosteriorError(f"--dicom {kind}: it can be {', '.join(KINDS)}.")
    _need_highdicom()
    study = _study(source)
    stem = path.name.removesuffix(".h5").removesuffix(".posterior")
    written: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(_maps(path, maps)):
        headers = [_header(item, study, k) for k in range(len(item.values))]
        if kind in {"pmap", "both"}:
            target = folder / f"{stem}_{item.name}.dcm"
            with _new(target, overwrite) as temporary:
                _parametric_map(item, headers, 9000 + number).save_as(temporary)
            written.append(target)
        if kind in {"series", "both"}:
            target = folder / f"{stem}_{item.name}_series"
            target.mkdir(exist_ok=True)
            for k, image in enumerate(_images(item, headers, 9100 + number)):
                with _new(target / f"{k + 1:04d}.dcm", overwrite) as temporary:
                    image.save_as(temporary, enforce_file_format=True)
            written.append(target)
    return written


def _maps(path: Path, names: Sequence[str]) -> Iterator[_Map]:
    root = root_attributes(path)
    if root["status"] != "complete":
        raise PosteriorError(f"{path}: is not finished, so it has no maps; resume the run.")
    grid = read_placement(path).model
    linear = RAS_TO_LPS @ grid.affine[:3, :3]
    unit_vectors = linear / np.asarray(grid.spacing)
    if abs(unit_vectors[:, 0] @ unit_vectors[:, 1]) > RIGHT_ANGLE:
        raise PosteriorError(
            f"{path}: rows and columns of its slices are not at right angles, which DICOM cannot "
            "say; export NIfTI."
        )
    tags = json.loads(root["provenance"]).get("scan", {}).get("tags", {})
    with open_posterior(path) as tree:
        slices = np.asarray(tree["slice"].values)
        for name in names:
            group = next((g for g in ("estimate", "reference") if g in tree.children
                          and name in tree[g].data_vars), None)  # fmt: skip
            if group is None or tree[group][name].dims != ("z", "y", "x"):
                known = [str(n) for n, v in tree["estimate"].data_vars.items() if v.ndim == 3]
                raise PosteriorError(
                    f"{path}: has no real map {name!r}; it can be {', '.join(known)}."
                )
            variable: Any = tree[group][name]
            corner = np.stack([[grid.shape[0] - 1, grid.shape[1] - 1, k] for k in slices])
            yield _Map(
                name=name,
                values=np.ascontiguousarray(variable.values[:, ::-1, ::-1]),
                positions=grid.position(corner.astype(float)) @ RAS_TO_LPS,
                across=-unit_vectors[:, 0],
                down=-unit_vectors[:, 1],
                spacing=(grid.spacing[1], grid.spacing[0], _between(grid.spacing[2], slices)),
                unit=str(variable.attrs["units"]),
                tags=tags,
            )


def _between(spacing: float, slices: np.ndarray) -> float:
    return spacing * float(np.median(np.diff(slices))) if len(slices) > 1 else spacing


def _study(source: Path | str | None) -> dict[str, Any]:
    """Return whose maps they are: of the source's series, or of nobody."""
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
    return anonymous | {name: header[name].value for name in PERSONAL if name in header}


def _header(item: _Map, study: dict[str, Any], k: int) -> Any:  # noqa: ANN401
    """Return the header that every object of a slice shares."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    header: Any = Dataset()
    for name, value in study.items():
        setattr(header, name, value)
    is_ct = item.tags.get("Modality") == "CT"
    header.SOPClassUID = f"1.2.840.10008.5.1.4.1.1.{2 if is_ct else 4}"
    header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = generate_uid(entropy_srcs=[study["StudyInstanceUID"], item.name])
    frame = item.tags.get("FrameOfReferenceUID")
    header.FrameOfReferenceUID = frame or generate_uid(entropy_srcs=[study["StudyInstanceUID"]])
    header.PositionReferenceIndicator = ""
    header.Modality = "CT" if is_ct else "MR"
    header.BodyPartExamined = item.tags.get("BodyPartExamined") or "BRAIN"
    if item.tags.get("Laterality"):
        header.Laterality = item.tags["Laterality"]
    header.Manufacturer = "uqrestore"
    header.ImagePositionPatient = [_decimal(v) for v in item.positions[k]]
    header.ImageOrientationPatient = [_decimal(v) for v in (*item.across, *item.down)]
    header.PixelSpacing = [_decimal(v) for v in item.spacing[:2]]
    header.SliceThickness = _decimal(item.spacing[2])
    header.Rows, header.Columns = item.values.shape[1:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = 0
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return header


def _parametric_map(item: _Map, headers: list[Any], number: int) -> Any:  # noqa: ANN401
    import highdicom as hd
    from highdicom.sr.coding import CodedConcept
    from pydicom.uid import generate_uid

    unit = (
        CodedConcept("[hnsf'U]", "UCUM", "Hounsfield unit")
        if item.unit == "HU"
        else CodedConcept("1", "UCUM", "no units")
    )
    values = item.values.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=item.name[:16].upper(),
        lut_explanation=f"{item.words}, {item.unit}"[:64],
        unit=unit,
        value_range=(low, high if high > low else low + 1),
        slope=1.0,
        intercept=0.0,
    )
    positions = [hd.PlanePositionSequence("PATIENT", p.tolist()) for p in item.positions]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = hd.pm.ParametricMap(
            source_images=headers,
            pixel_array=values,
            series_instance_uid=generate_uid(),
            series_number=number,
            sop_instance_uid=generate_uid(),
            instance_number=1,
            manufacturer="uqrestore",
            manufacturer_model_name="uqrestore",
            software_versions=__version__,
            device_serial_number="0",
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[
                hd.VOILUTTransformation(
                    window_center=(low + high) / 2, window_width=max(high - low, 1e-6)
                )
            ],
            pixel_measures=hd.PixelMeasuresSequence(
                pixel_spacing=item.spacing[:2], slice_thickness=item.spacing[2]
            ),
            plane_orientation=hd.PlaneOrientationSequence(
                "PATIENT", [*item.across.tolist(), *item.down.tolist()]
            ),
            plane_positions=positions,
            content_label=item.name.upper()[:16],
            content_description=f"{item.words}. {WARNING}"[:64],
        )
    result.SeriesDescription = _description(item)
    result.Laterality = item.tags.get("Laterality", "")  # empty where it is not known
    return result


def _images(item: _Map, headers: list[Any], number: int) -> Iterator[Any]:
    """Yield one derived 16-bit image a slice, all with the same rescale slope."""
    low, high = float(item.values.min()), float(item.values.max())
    slope = _round_up((high - low) / LEVELS) if high > low else 1.0
    intercept = float(_decimal(low - slope / 2))
    now = datetime.now()  # DICOM has local time
    for k, (header, image) in enumerate(zip(headers, item.values, strict=True)):
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = number, k + 1, 1
        header.SeriesDescription = _description(item)
        header.DerivationDescription = f"{item.words} of posterior draws. {WARNING}"
        header.SoftwareVersions = __version__
        header.ContentDate = f"{now:%Y%m%d}"
        header.ContentTime = f"{now:%H%M%S}"
        header.ContentQualification = "RESEARCH"
        header.PatientPosition = ""
        header.BurnedInAnnotation = "NO"
        if header.Modality == "MR":
            header.ScanningSequence, header.SequenceVariant = "RM", "NONE"
            header.ScanOptions, header.MRAcquisitionType = "", ""
            header.EchoTime = header.EchoTrainLength = header.RepetitionTime = None
        else:
            header.KVP = None
        header.RescaleSlope, header.RescaleIntercept = _decimal(slope), _decimal(intercept)
        header.RescaleType = "HU" if item.unit == "HU" else "US"
        header.WindowCenter = _decimal((low + high) / 2)
        header.WindowWidth = _decimal(max(high - low, slope))
        levels = np.clip(np.rint((image - intercept) / slope), 0, LEVELS).astype("<u2")
        header.PixelData = levels.tobytes()
        yield header


def _description(item: _Map) -> str:
    return f"uqrestore {item.words} [{item.unit}]"[:64]


def _decimal(value: float) -> str:
    """Return a number as the 16 characters that DICOM gives it."""
    for digits in range(15, 5, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{float(value):.8e}"[:16]


def _round_up(slope: float) -> float:
    """Return the slope as it will be read back, a little larger so that the brightest fits."""
    return float(_decimal(slope * (1 + 1e-4)))


@contextmanager
def _new(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path; the file gets its name once it is whole."""
    if target.exists() and not overwrite:
        raise PosteriorError(f"{target}: exists already; pass --overwrite.")
    temporary = target.with_name(f".writing-{target.name}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _need_highdicom() -> None:
    try:
        import highdicom  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise PosteriorError(
            "DICOM needs the packages pydicom and highdicom: pip install 'uqrestore[dicom]'."
        ) from None
