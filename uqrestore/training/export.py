"""From a training run to a prior: averaged weights in half precision, and their card."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore.networks.linear.build import IN_STATE
from uqrestore.networks.weights import (
    WeightsError,
    load_json,
    load_tensors,
    save_json,
    save_tensors,
    sha256,
)
from uqrestore.training.config import TrainConfig
from uqrestore.training.log import rows_of
from uqrestore.training.power_ema import combine
from uqrestore.training.state import AVERAGED, SavedState

MEASURED = ("val_", "mmse_psnr_")
"""Columns of the log that the card keeps."""

FEATURE_DEGRADATION = "pinv; adjoint / s_max^2 where the pseudo-inverse has no closed form"
"""How measurements come back to the activations of a conditional network."""


def mean_weights(runs: Sequence[Path]) -> dict[str, Tensor]:
    """Average the averaged weights of several runs of one network, each begun where one ended.

    Such a mean is flatter than any of them: here it is better than the last run on images like
    those of the training, and keeps on a real scan what the last run had lost. The Gaussian model
    of a linear estimate is that of the last run.

    Args:
        runs: Folders of the runs.

    Raises:
        WeightsError: If there is no run, or their networks differ.

    References:
        Wortsman et al., "Model soups", ICML 2022. arXiv:2203.05482
    """
    if not runs:
        raise WeightsError("there are no runs to average; name at least one folder.")
    parts = [load_tensors(run / AVERAGED) for run in runs]
    first, *others = ({name: tensor.shape for name, tensor in part.items()} for part in parts)
    for run, shapes in zip(runs[1:], others, strict=True):
        if shapes != first:
            raise WeightsError(
                f"{run}: its network differs from that of {runs[0]}; average runs of one network."
            )
    mean = combine(parts, np.full(len(parts), 1 / len(parts)))
    # The model of a linear estimate is fitted, not trained: its classes have no common order.
    mean |= {name: value for name, value in parts[-1].items() if IN_STATE in name}
    return {name: value.to(parts[-1][name].dtype) for name, value in mean.items()}


def _of_many_sizes(config: TrainConfig) -> bool:
    """Return True where the training images are cut from slices of several pixel sizes."""
    scans = config.measurements is not None and bool(config.measurements.scans)
    return bool(config.data.complex_windows) or scans


def export(
    run: Path,
    name: str,
    folder: Path,
    facts: Mapping[str, Any],
    average: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write ``NAME.safetensors`` and ``NAME.json`` from a run folder.

    Args:
        run: Folder of the run, as :func:`uqrestore.training.loop.train` leaves it.
        name: Name of the model.
        folder: Where the two files go.
        facts: Fields that the run cannot know: title, data and licences, contrast, known limits.
        average: Weights to write, such as :func:`mean_weights`; by default the running average of
            the training.

    Returns:
        The file of weights.
    """
    config = TrainConfig.model_validate(load_json(run / "config.json"))
    curve = [{k: float(v) for k, v in row.items()} for row in rows_of(run)]
    weights = folder / f"{name}.safetensors"
    tensors = load_tensors(run / AVERAGED) if average is None else average
    training = config.model_dump(mode="json", exclude={"card"})
    if config.start is not None:
        training["start"] = Path(config.start).stem  # a path names a machine
    data = config.data
    half = {k: v.half() if v.dtype == torch.float32 else v for k, v in tensors.items()}
    save_tensors(weights, half)
    card = {
        "name": name,
        "kind": "network",
        "schema": 1,
        **facts,
        "in_shape": list(data.shape),
        "voxel_size": None if _of_many_sizes(config) else [data.voxel_mm] * 2,
        "range": data.range and data.range.model_dump(),
        "windows_of": data.windows_of and list(data.windows_of),
        "feature_degradation": FEATURE_DEGRADATION if config.problem is not None else None,
        "classes": {"height": data.heights} if data.heights else None,
        "network": {"name": config.network.name, **config.network.options},
        "sigma_data": config.loss.sigma_data,
        "preconditioning": config.loss.kind,
        "training": {**training, "samples": SavedState(run).number("seen")},
        "parameters": sum(t.numel() for t in tensors.values()),
        "validation": {k: v for k, v in curve[-1].items() if k.startswith(MEASURED)},
        "curve": [
            {k: round(v, 5) for k, v in row.items() if k == "seen" or k.startswith(MEASURED)}
            for row in curve
        ],
        "sha256": sha256(weights),
    }
    save_json(folder / f"{name}.json", card)
    return weights
