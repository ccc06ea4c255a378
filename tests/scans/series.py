"""DICOM series made from voxels and an affine, classic or enhanced."""

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset  # noqa: TID253 - only tests of DICOM
from pydicom.sequence import Sequence  # noqa: TID253
from pydicom.uid import ExplicitVRLittleEndian, generate_uid  # noqa: TID253

LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def header(voxels: np.ndarray, affine: np.ndarray, k: int, series: str, **more: object) -> Dataset:
    """Return one classic image: slice k of voxels (column, row, slice)."""
    lps = LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    image: Any = Dataset()  # it grows its attributes
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    image.SOPInstanceUID = generate_uid()
    image.SeriesInstanceUID = series
    image.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    image.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
    image.PatientName, image.PatientID = "Doe^Jane", "12345"
    image.PatientBirthDate, image.PatientSex = "19700101", "F"
    image.AccessionNumber = image.StudyID = image.StudyDate = image.StudyTime = ""
    image.ReferringPhysicianName = "Referrer"
    image.SeriesDescription, image.Modality = "T1 of Jane", "MR"
    image.InstanceNumber = k + 1
    image.ImageOrientationPatient = [
        f"{v:.10f}" for v in (*(lps[:3, 0] / spacing[0]), *(lps[:3, 1] / spacing[1]))
    ]
    image.ImagePositionPatient = [f"{v:.8f}" for v in lps[:3, 3] + k * lps[:3, 2]]
    image.PixelSpacing = [f"{spacing[1]:.10f}", f"{spacing[0]:.10f}"]
    image.SliceThickness = f"{spacing[2]:.8f}"
    plane = voxels[:, :, k].T
    image.Rows, image.Columns = plane.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
    image.PixelRepresentation = 0
    image.PixelData = np.ascontiguousarray(plane, "<u2").tobytes()
    for name, value in more.items():
        setattr(image, name, value)
    meta: Any = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.file_meta = meta
    return image


def write_series(
    folder: Path, voxels: np.ndarray, affine: np.ndarray, seed: int = 0, **more: object
) -> Path:
    """Write a series with file names in random order."""
    folder.mkdir(parents=True, exist_ok=True)
    series = generate_uid()
    names = np.random.default_rng(seed).permutation(voxels.shape[2])
    for k in range(voxels.shape[2]):
        image = header(voxels, affine, k, series, **more)
        image.save_as(folder / f"{names[k]:03d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, voxels: np.ndarray, affine: np.ndarray, slope: float = 1) -> Path:
    """Write one enhanced multi-frame file, its frames in reverse order."""
    count = voxels.shape[2]
    image: Any = header(voxels, affine, 0, generate_uid())
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    shared, frames = Dataset(), []
    orientation, measures, values = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = image.ImageOrientationPatient
    measures.PixelSpacing = image.PixelSpacing
    measures.SliceThickness = image.SliceThickness
    values.RescaleSlope, values.RescaleIntercept, values.RescaleType = slope, 3, "US"
    shared.PlaneOrientationSequence = Sequence([orientation])
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PixelValueTransformationSequence = Sequence([values])
    order = list(reversed(range(count)))
    for k in order:
        position, frame = Dataset(), Dataset()
        position.ImagePositionPatient = header(voxels, affine, k, "1.2").ImagePositionPatient
        frame.PlanePositionSequence = Sequence([position])
        frames.append(frame)
    for name in ("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"):
        del image[name]
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence(frames)
    image.NumberOfFrames = count
    planes = np.stack([voxels[:, :, k].T for k in order])
    image.PixelData = np.ascontiguousarray(planes, "<u2").tobytes()
    image.save_as(path, enforce_file_format=True)
    return path
