"""Values of the stored pixels of a DICOM frame: modality transform, unit and padding."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Shaped

from uqrestore.scans.checksum import printable
from uqrestore.scans.dicom_header import FrameHeader

NO_UNIT = {"", "US", "1"}
"""Codes of values without unit: unspecified in ``RescaleType``, 1 in UCUM."""

PHILIPS_SCALE_SLOPE = (0x2005, 0x100E)
"""Private divisor from displayed to quantitative values, which may differ between slices."""


@dataclass(frozen=True, eq=False)
class PixelValues:
    """Values of one frame.

    Attributes:
        values: In ``unit``.
        padding: Pixels that the header declares to be no part of the image.
        unit: Of the values; ``"a.u."`` where the header states none.
        quantitative: Factor from these values to the quantitative ones that the header states
            besides (real-world values, Philips' private scale); None where it states none.
    """

    values: Float[np.ndarray, "row column"]
    padding: Bool[np.ndarray, "row column"]
    unit: str
    quantitative: float | None


def pixel_values(stored: Shaped[np.ndarray, "row column"], header: FrameHeader) -> PixelValues:
    """Apply the modality transform of a frame: lookup table, rescale slope, or real-world map.

    The real-world value map is applied where it is all that the header states; beside a rescale
    slope it only tells whether slices can be compared.

    Raises:
        ValueError: If the header states no usable transform, or two that exclude each other.
    """
    padding = _padding(stored, header)
    maps = header.sequence("RealWorldValueMappingSequence")
    rescaled = header.value("RescaleSlope") is not None
    if header.sequence("ModalityLUTSequence"):
        if rescaled:
            raise ValueError(
                "it has both a modality LUT and a rescale slope, of which DICOM allows one"
            )
        return PixelValues(*_looked_up(stored, header, padding), quantitative=None)
    if maps and not rescaled:
        slope, intercept = _real_world(maps)
        unit = _measurement_unit(maps[0])
        values = slope * stored.astype(np.float64) + intercept
        return PixelValues(values, padding, unit, quantitative=None)
    slope = header.number("RescaleSlope", 1.0)
    if slope == 0:
        raise ValueError("RescaleSlope is 0, which makes every value the same")
    values = slope * stored.astype(np.float64) + header.number("RescaleIntercept", 0.0)
    unit = _named(header.value("RescaleType", ""))
    if header.value("Modality") == "CT" and rescaled and unit == "a.u.":
        unit = "HU"
    return PixelValues(values, padding, unit, _quantitative(header, maps, slope))


def photometric_fault(header: FrameHeader) -> str | None:
    """Return why the pixels of a file are no grey values that grow with brightness, or None."""
    kind = str(header.value("PhotometricInterpretation", "MONOCHROME2"))
    if int(header.value("SamplesPerPixel", 1)) != 1 or not kind.startswith("MONOCHROME"):
        return f"is in colour ({kind}); a scan has one grey value a voxel"
    inverse = header.value("PresentationLUTShape") == "INVERSE"
    if kind == "MONOCHROME1" or inverse:
        which = "PresentationLUTShape INVERSE" if inverse else kind
        return (
            f"is stored inverted ({which}: low values are bright); export it as MONOCHROME2, or "
            "convert it to NIfTI with its brightness inverted"
        )
    return None


def _padding(stored: np.ndarray, header: FrameHeader) -> np.ndarray:
    """Return where stored pixels are padding, for either sign of the padding value."""
    floating = stored.dtype.kind == "f"
    prefix = "Float" if stored.dtype == np.float32 else "DoubleFloat" if floating else ""
    value = header.value(f"{prefix}PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = header.value(f"{prefix}PixelPaddingRangeLimit", value)
    if floating:
        low, high = sorted((float(value), float(limit)))
    else:
        low, high = sorted(_as_stored(int(v), stored.dtype) for v in (value, limit))
    return (stored >= low) & (stored <= high)


def _as_stored(value: int, dtype: np.dtype) -> int:
    """Return the number that the same bits mean in the pixels' own signedness."""
    info = np.iinfo(dtype)
    return (value - int(info.min)) % 2**info.bits + int(info.min)


def _looked_up(
    stored: np.ndarray, header: FrameHeader, padding: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    from pydicom.pixels.processing import apply_modality_lut

    table = header.sequence("ModalityLUTSequence")[0]
    values = apply_modality_lut(stored, header.file).astype(np.float64)
    return values, padding, _named(table.get("ModalityLUTType", ""))


def _real_world(maps: list[Any]) -> tuple[float, float]:
    """Return slope and intercept of real-world values."""
    lines = {
        (item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")) for item in maps
    }
    if len(lines) > 1:
        raise ValueError(f"it has {len(maps)} real-world value maps and no rescale slope")
    [(slope, intercept)] = lines
    if slope is None or intercept is None:
        raise ValueError("its real-world values are a table without slope, which is not read")
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise ValueError(f"RealWorldValueSlope is {slope}, its intercept {intercept}")
    return float(slope), float(intercept)


def _measurement_unit(item: Any) -> str:  # noqa: ANN401  (pydicom's Dataset)
    codes = item.get("MeasurementUnitsCodeSequence") or []
    code = str(codes[0].get("CodeValue", "")) if codes else ""
    return "HU" if code == "[hnsf'U]" else _named(code)


def _named(unit: object) -> str:
    text = printable(str(unit or ""))
    return "a.u." if text in NO_UNIT else text


def _quantitative(header: FrameHeader, maps: list[Any], slope: float) -> float | None:
    if maps and maps[0].get("RealWorldValueSlope"):
        return float(maps[0].RealWorldValueSlope) / slope
    private = header.file.get(PHILIPS_SCALE_SLOPE)
    value = None if private is None else private.value
    if isinstance(value, bytes) and len(value) == 4:
        value = float(np.frombuffer(value, "<f4")[0])
    if not isinstance(value, int | float) or not np.isfinite(value) or value == 0:
        return None
    return 1 / (slope * float(value))
