"""Files of a BIDS derivative: maps as NIfTI with sidecars, and the description of the dataset."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uqrestore._shared.files import write_text
from uqrestore._shared.version import __version__
from uqrestore.batch.bids.find import BidsScan
from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorFile
from uqrestore.posterior.export import map_volume
from uqrestore.scans.nifti import write_nifti

BIDS_VERSION = "1.10.0"
IGNORED = ("*.html", "*.report.json", "*.posterior.h5*", "*_desc-regions_*", "*_desc-numbers_*",
           "*.error.json", "catalogue.csv")  # fmt: skip
"""Outputs that BIDS has no names for."""
README = """\
Posterior mean, standard deviation and principal components of anatomical images, drawn by
uqrestore {version}. Research use only, not for diagnosis.

desc-mean is the mean of the draws, desc-std their standard deviation, desc-pc1 ... the principal
components of the posterior times their standard deviation, all in the intensity of the image.
Voxels that were not restored are NaN. The posterior files, *.posterior.h5, hold all draws; open
them by uqrestore.open(path).
"""


def describe_dataset(out: Path, dataset: Path, pipeline: RestorePipeline) -> None:
    """Write ``dataset_description.json``, ``README`` and ``.bidsignore`` of a derivative.

    Raises:
        ValueError: If the folder holds a dataset that is none of uqrestore.
    """
    path = out / "dataset_description.json"
    if path.exists() and "uqrestore" not in path.read_text(encoding="utf-8"):
        raise ValueError(f"{out}: holds another BIDS dataset; choose a folder of its own.")
    out.mkdir(parents=True, exist_ok=True)
    source = json.loads((dataset / "dataset_description.json").read_text(encoding="utf-8"))
    known = {"DOI": source["DatasetDOI"]} if source.get("DatasetDOI") else {}
    description = {
        "Name": f"uqrestore of {source.get('Name', 'a dataset')}",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [
            {"Name": "uqrestore", "Version": __version__, "Description": pipeline.title}
        ],
        "SourceDatasets": [known] if known else [],
        "DatasetLinks": {"raw": Path(os.path.relpath(dataset, out)).as_posix()},
    }
    if source.get("License"):
        description["License"] = source["License"]
    _write_json(path, description)
    write_text(out / "README.md", README.format(version=__version__))
    write_text(out / ".bidsignore", "\n".join(IGNORED) + "\n")


def write_maps(scan: BidsScan, out: Path, posterior: Path) -> list[Path]:
    """Write mean, standard deviation and components on the grid of the image, with sidecars.

    Args:
        scan: The image.
        out: Folder of the derivative.
        posterior: The finished posterior file of the image.

    Raises:
        PosteriorError: If the image was resampled and the file does not keep all draws, from which
            the standard deviation on its own grid is computed.
    """
    written = []
    with PosteriorFile(posterior) as file:
        placement = file.placement
        maps = {"mean": ("mmse", None), "std": ("std", None)}
        maps |= {f"pc{k + 1}": ("pc", k) for k in range(file.component_count)}
        for desc, (name, layer) in maps.items():
            values = map_volume(file, name, 0, native=True)
            values = values if layer is None else values[..., layer]
            target = out / f"{scan.name(desc)}.nii.gz"
            target.parent.mkdir(parents=True, exist_ok=True)
            text = f"uqrestore {desc}, not for diagnosis"
            write_nifti(
                target,
                values,
                placement.native,
                space_code=placement.space_code,
                description=text,
            )
            _write_json(out / f"{scan.name(desc)}.json", _sidecar(scan, file, desc))
            written.append(target)
    return written


def _sidecar(scan: BidsScan, file: PosteriorFile, desc: str) -> dict[str, Any]:
    raw = f"bids:raw:{scan.path.relative_to(scan.root).as_posix()}"
    meaning = {"mean": "Mean", "std": "Standard deviation"}.get(
        desc, f"Principal component {desc[2:]}, times its standard deviation,"
    )
    provenance: Mapping[str, Any] = file.provenance
    return {
        "Description": f"{meaning} of {file.draws} draws of the posterior; NaN outside the slices "
        "that were restored. Not for diagnosis.",
        "Sources": [raw],
        "SkullStripped": scan.mask is not None or _stated(scan, "SkullStripped", default=False),
        "Units": "arbitrary",
        "Acquisition": provenance.get("acquisition", ""),
        "Method": provenance.get("pipeline", {}).get("method", {}),
        "Prior": provenance.get("prior", {}),
        "PosteriorFile": Path(file.path).name,
        "Fingerprint": file.root.get("fingerprint", ""),
    }


def _stated(scan: BidsScan, key: str, *, default: bool) -> bool:
    """Return what the sidecar of the image states."""
    name = scan.path.name.removesuffix(".gz").removesuffix(".nii")
    path = scan.path.with_name(f"{name}.json")
    content = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return bool(content.get(key, default))


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
