"""CT slices of the data folder in one orientation: row 0 is posterior."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

FILES = {"ct_tcga_128.h5": "body", "ct_slices_128.h5": "ct"}
"""Files of the data folder and the variable of their images."""
FROM_ANTERIOR = ("ct_tcga_128.h5",)
"""Files whose row 0 is anterior, as in DICOM."""
PIXEL_MM = {"ct_tcga_128.h5": 3.0, "ct_slices_128.h5": 3.125}


def slices(folder: Path, split: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the person of every slice, and the slice in network intensity, 1 x 128 x 128."""
    for file, variable in FILES.items():
        with h5py.File(folder / file) as data:
            images: Any = data[f"{split}/{variable}"]
            people: Any = data[f"{split}/subject"]
            scale = float(images.attrs.get("scale_factor", 1.0))
            for person, image in zip(people, images, strict=True):
                x = torch.as_tensor(2 * scale * np.asarray(image, np.float32) - 1)
                yield person.decode(), (x.flip(-2) if file in FROM_ANTERIOR else x)[None]


def few(folder: Path, split: str, most: int) -> list[tuple[str, int, Tensor]]:
    """Return person, number and image of a few slices of everyone, spread over the person."""
    people: dict[str, list[Tensor]] = {}
    for person, x in slices(folder, split):
        people.setdefault(person, []).append(x)
    chosen = []
    for person, images in people.items():
        count = min(most, len(images))
        at = [(2 * i + 1) * len(images) // (2 * count) for i in range(count)]
        chosen += [(person, i, images[i]) for i in at]
    return chosen
