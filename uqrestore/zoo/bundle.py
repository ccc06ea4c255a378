"""A prior as a MONAI bundle: weights, card, and configurations that MONAI's commands run."""

import json
import shutil
from pathlib import Path
from typing import Any

from uqrestore._shared.files import write_text
from uqrestore._shared.version import __version__
from uqrestore.networks.weights import WeightsError
from uqrestore.zoo import load_card, load_prior, locate
from uqrestore.zoo.card import PriorCard

SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
"""Schema of the metadata; ``monai.bundle verify_metadata`` fetches it."""
INFERENCE: dict[str, Any] = {
    "imports": ["$import torch", "$import uqrestore"],
    "bundle_root": ".",
    "weights": "$@bundle_root + '/models/model.safetensors'",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": "$uqrestore.load_prior(@weights).to(@device)",
    "count": 4,
    "seed": 0,
    "steps": 18,
    "output": "$@bundle_root + '/draws.pt'",
    "noise": "$uqrestore.SampleNoise(@seed, range(@count)).normal("
    "@network_def.in_shape, torch.empty(0, device=@device))",
    "draws": "$uqrestore.diffusion.sample_heun("
    "@network_def, @noise, uqrestore.diffusion.karras_sigmas(@steps))",
    "run": ["$torch.save(@draws, @output)"],
}
README = """\
# {title}

A denoiser `D(x, sigma)` of images within [-1, 1], for diffusion. Research use only, not for
diagnosis.

    pip install uqrestore
    python -m monai.bundle run --config_file configs/inference.json --bundle_root .

draws images of the prior into `draws.pt`. Posterior draws of a measurement `y` of an operator `A`:

    prior = uqrestore.load_prior("models/model.safetensors")
    draws = uqrestore.sample(A, y, prior, "ddnm", samples=16)

Known limits: {limits}

`models/model.json` is the card of the prior: its data with their licences, and how it was trained.
Licence of the weights: {licence}.
"""


def write_bundle(name: str, folder: Path | str) -> Path:
    """Write a network prior as a MONAI bundle.

    Args:
        name: Name of a bundled prior, or path of its weights.
        folder: Folder of the bundle; must not exist.

    Returns:
        The folder.

    Raises:
        WeightsError: If there is no such prior, or it is no unconditional network.
        FileExistsError: If the folder exists.
    """
    card, folder = load_card(name), Path(folder)
    denoiser = load_prior(name)  # which checks the weights against the card
    if card.kind != "network" or card.operator_families:
        raise WeightsError(
            f"prior {name!r}: only an unconditional network can be a bundle; choose another, such "
            "as 'brain64-prior'."
        )
    (folder / "configs").mkdir(parents=True)
    for inner in ("models", "docs"):
        (folder / inner).mkdir()
    weights = locate(name)
    shutil.copyfile(weights, folder / "models" / "model.safetensors")
    shutil.copyfile(weights.with_suffix(".json"), folder / "models" / "model.json")
    contents = {"inference": INFERENCE, "metadata": _metadata(card, tuple(denoiser.in_shape))}
    for stem, content in contents.items():
        write_text(folder / "configs" / f"{stem}.json", json.dumps(content, indent=4) + "\n")
    text = README.format(title=card.title, limits=card.known_limits, licence=card.licence)
    write_text(folder / "docs" / "README.md", text)
    write_text(folder / "LICENSE", f"{card.licence}\n")
    return folder


def _metadata(card: PriorCard, in_shape: tuple[int, ...]) -> dict[str, Any]:
    import numpy as np
    import torch
    from monai import __version__ as monai_version

    image = {
        "type": "image",
        "format": "magnitude" if in_shape[0] == 1 else "image",
        "num_channels": in_shape[0],
        "spatial_shape": list(in_shape[1:]),
        "dtype": "float32",
        "value_range": [-1, 1],
        "is_patch_data": card.of_windows,
    }
    channels = {"0": "image"} if in_shape[0] == 1 else {"0": "real", "1": "imaginary"}
    return {
        "schema": SCHEMA,
        "version": __version__,
        "changelog": {__version__: "exported by uqrestore"},
        "monai_version": monai_version,
        "pytorch_version": torch.__version__.partition("+")[0],
        "numpy_version": np.__version__,
        "required_packages_version": {"uqrestore": __version__},
        "name": card.name,
        "task": "Denoising of images at any noise level, as a diffusion prior",
        "description": card.title,
        "authors": "The uqrestore developers",
        "copyright": card.licence,
        "data_source": "; ".join(str(part.get("name", "")) for part in card.data),
        "intended_use": "Research only, not for diagnosis",
        "network_data_format": {
            "inputs": {"image": image | {"channel_def": channels}},
            "outputs": {"pred": image | {"channel_def": channels}},
        },
    }
