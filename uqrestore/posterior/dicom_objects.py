"""DICOM objects of a map: one parametric map, or a series of 16-bit images."""

import warnings
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import numpy as np

from uqrestore._shared.version import __version__
from uqrestore.posterior._layout import WARNING
from uqrestore.posterior.dicom_maps import DicomMap, decimal

LEVELS = 65535


def parametric_map(item: DicomMap, headers: list[Any], number: int) -> Any:  # noqa: ANN401
    """Return one multi-frame object of floating-point values, with their unit."""
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
        lut_explanation=f"{item.summary}, {item.unit}"[:64],
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
            content_description=f"{item.summary}. {WARNING}"[:64],
        )
    result.SeriesDescription = _description(item)
    result.Laterality = headers[0].get("Laterality", "")  # empty where it is not known
    return result


def series_images(item: DicomMap, headers: list[Any], number: int) -> Iterator[Any]:
    """Yield one derived 16-bit image a slice, all with the same rescale slope."""
    low, high = float(item.values.min()), float(item.values.max())
    slope = _round_up((high - low) / LEVELS) if high > low else 1.0
    intercept = float(decimal(low - slope / 2))
    now = datetime.now()  # DICOM has local time
    for k, (header, image) in enumerate(zip(headers, item.values, strict=True)):
        header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID
        header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
        header.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
        header.SeriesNumber, header.InstanceNumber, header.AcquisitionNumber = number, k + 1, 1
        header.SeriesDescription = _description(item)
        header.DerivationDescription = f"{item.summary} of posterior draws. {WARNING}"
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
        header.RescaleSlope, header.RescaleIntercept = decimal(slope), decimal(intercept)
        header.RescaleType = "HU" if item.unit == "HU" else "US"
        header.WindowCenter = decimal((low + high) / 2)
        header.WindowWidth = decimal(max(high - low, slope))
        levels = np.clip(np.rint((image - intercept) / slope), 0, LEVELS).astype("<u2")
        header.PixelData = levels.tobytes()
        yield header


def _description(item: DicomMap) -> str:
    return f"uqrestore {item.summary} [{item.unit}]"[:64]


def _round_up(slope: float) -> float:
    """Return the slope as it will be read back, a little larger so that the brightest fits."""
    return float(decimal(slope * (1 + 1e-4)))
