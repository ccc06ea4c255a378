"""Build the raw demo scan that ships with the package: four coils, one slice of a whole head.

    python -m tests.benchmarks.build_head_demo --data FOLDER

FOLDER holds ``raw_kspace.h5``, whose ``brain_4ch_full/coil_images`` (coil, row, column) are the
coil images of the brain of gpuNUFFT's demo data (MIT; Schwarzl and Knoll, TU Graz). K-space is
their centred orthonormal transform: fully sampled, with the noise of the scanner. It is written as
an ISMRMRD file, one acquisition a column: the readout runs along the rows, the phase encoding
along the columns.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Complex

from uqrestore.scans import demo_kspace_path
from uqrestore.scans.kspace import to_kspace

# The source states neither; 240 mm makes the head 21 cm long and 15 cm wide.
FIELD_MM, SLICE_MM = 240.0, 5.0

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <encoding>
  <encodedSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{mm}</x><y>{mm}</y><z>{z_mm}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{x}</x><y>{y}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{mm}</x><y>{mm}</y><z>{z_mm}</z></fieldOfView_mm></reconSpace>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum>
   <center>{center}</center></kspace_encoding_step_1></encodingLimits>
  <trajectory>cartesian</trajectory>
 </encoding>
</ismrmrdHeader>"""


def write(path: Path, images: Complex[np.ndarray, "coil row column"]) -> None:
    """Write coil images, row 0 posterior and column 0 left, as fully sampled ISMRMRD k-space."""
    import ismrmrd

    rows, columns = images.shape[1:]
    kspace = to_kspace(images).astype(np.complex64)
    with ismrmrd.Dataset(str(path), "dataset", create_if_needed=True) as file:
        file.write_xml_header(
            HEADER.format(
                x=rows, y=columns, mm=FIELD_MM, z_mm=SLICE_MM, last=columns - 1, center=columns // 2
            )
        )
        for step in range(columns):
            samples = np.ascontiguousarray(kspace[:, :, step])
            line: Any = ismrmrd.Acquisition.from_array(samples)
            line.idx.kspace_encode_step_1 = step
            line.center_sample = rows // 2
            # LPS: rows run to anterior, columns to the right; a right-handed system.
            line.read_dir[:], line.phase_dir[:] = (0, -1, 0), (-1, 0, 0)
            line.slice_dir[:] = (0, 0, -1)
            file.append_acquisition(line)


def main() -> None:
    """Read the coil images, write the demo scan of the package."""
    import h5py

    parser = argparse.ArgumentParser(description="Build the raw demo scan of the package.")
    parser.add_argument("--data", type=Path, required=True, help="folder of raw_kspace.h5")
    parser.add_argument("--out", type=Path, default=demo_kspace_path())
    options = parser.parse_args()
    with h5py.File(options.data / "raw_kspace.h5") as file:
        images = np.asarray(file["brain_4ch_full/coil_images"])  # type: ignore[arg-type]
    options.out.unlink(missing_ok=True)
    write(options.out, images)


if __name__ == "__main__":
    main()
