"""Plan of a posterior file for measurements that are given as arrays, without a scan."""

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from uqrestore._shared.version import __version__
from uqrestore.diffusion.denoiser import FunctionDenoiser, NetworkDenoiser
from uqrestore.diffusion.external import ExternalDenoiser
from uqrestore.networks.weights import sha256
from uqrestore.pipeline import MethodPart
from uqrestore.posterior import PosteriorPlan
from uqrestore.posterior._layout import array_sha256, operator_sha256
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.posterior.general_acquisition import GeneralAcquisition
from uqrestore.restoration.draw import planned
from uqrestore.restoration.plain_images import without_prior
from uqrestore.scans import Grid, Orientation, Placement
from uqrestore.zoo import load_card, locate

Spacing = float | tuple[float, float] | tuple[float, float, float] | None
"""Pixel size in mm: one number, (row, column) or (slice, row, column)."""


def plan_of_array(
    acquisition: Acquisition | GeneralAcquisition,
    part: MethodPart,
    prior: object,
    *,
    samples: int,
    seed: int,
    spacing: Spacing,
    device: str,
) -> PosteriorPlan:
    """Return what the posterior file of an array will hold; every problem is one slice.

    Args:
        acquisition: The measurement, its noise and the map to network units.
        part: Method and options.
        prior: The prior as it was given to ``sample``.
        samples: Number of draws.
        seed: Seed of the draws.
        spacing: Distance of pixels in mm; None writes 1 mm and states that it is unknown.
        device: Device of the computation.

    Raises:
        ValueError: If images are not two-dimensional, or the spacing is not positive.
        TypeError: If the operator is made of functions, which no file can hold.
    """
    operator = acquisition.operator
    if len(operator.in_shape) != 3:
        raise ValueError(
            f"a posterior file holds images (channel, row, column) but {operator.name} acts on "
            f"{operator.in_shape}; leave out= away."
        )
    data = (operator.name, *operator.to_data())
    y = acquisition.y.cpu().numpy()
    known, about = identity_of(prior), planned(acquisition, part.name)
    noise = about.get("noise_model")
    facts = {
        "version": __version__.split(".")[0],
        "method": part.model_dump(mode="json"),
        "prior": known,
        "operator": operator_sha256(*data),
        "y": array_sha256(y),
        "noise_std": acquisition.noise_std,
        **({"noise": noise} if noise else {}),
        "intensity": acquisition.intensity.to_data(),
        "seed": seed,
    }
    provenance = {
        "pipeline": {
            "operator": {"name": operator.name},
            "method": facts["method"],
            **(
                {"noise": noise}
                if noise
                else {"noise_std": acquisition.intensity.std_to_network(acquisition.noise_std)}
            ),
            "draws": samples,
            "seed": seed,
        },
        "call": _call(part, known, noise or acquisition.noise_std, samples, seed),
        "prior": {"name": known["name"], "sha256": known["sha256"]},
        "scan": {"name": "array", "sha256": facts["y"]},
        "intensity": acquisition.intensity.to_data(),
        "grid": "as given" if spacing is not None else "pixel size unknown, 1 mm written",
        "acquisition": "given as an array",
        "random_streams": "one per (seed, 0, slice, sample); see uqrestore.noise.SampleNoise",
        "device": device,
        "dtype": str(acquisition.y.dtype).removeprefix("torch."),
    }
    return PosteriorPlan(
        placement=_placement(operator.in_shape, len(y), spacing),
        slices=acquisition.slices,
        draws=samples,
        channels=operator.in_shape[0],
        unit=acquisition.intensity.unit,
        seed=seed,
        fingerprint=hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest(),
        operator=data,
        y=(acquisition.axes, y),
        noise_std=acquisition.noise_std,
        reference={"zero_filled": without_prior(acquisition)},
        **about,
        provenance=provenance,
        title=f"Posterior of an array by {part.name}",
    )


def identity_of(prior: object) -> dict[str, str]:
    """Return name and SHA-256 of a prior; of a plain function a hash that never recurs.

    A partial file is resumed only by the same prior, and a function cannot be compared.
    """
    if isinstance(prior, str):
        digest = load_card(prior).sha256 or sha256(locate(prior))
        return {"name": locate(prior).stem, "sha256": digest}
    if isinstance(prior, FunctionDenoiser):
        prior = prior.function
    if isinstance(prior, torch.nn.Module):
        network = prior.network if isinstance(prior, NetworkDenoiser) else prior
        if isinstance(prior, ExternalDenoiser):
            return {
                "name": getattr(prior.network, "__name__", type(prior.network).__name__),
                "sha256": _digest(prior.state_dict() | {"declared": prior.declaration}),
            }
        return {"name": type(network).__name__, "sha256": _digest(prior.state_dict())}
    tensors = {k: v for k, v in getattr(prior, "__dict__", {}).items() if isinstance(v, Tensor)}
    name = getattr(prior, "__name__", type(prior).__name__)
    return {"name": name, "sha256": _digest(vars(prior)) if tensors else uuid.uuid4().hex}


def _digest(values: Mapping[str, Any]) -> str:
    """Hash tensors by their bytes and everything else by its text."""
    parts = {
        key: array_sha256(value.detach().cpu().numpy()) if isinstance(value, Tensor) else str(value)
        for key, value in values.items()
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _placement(shape: tuple[int, ...], slices: int, spacing: Spacing) -> Placement:
    """Lay rows along y, columns along x and slices along z, from the origin."""
    sides = np.atleast_1d(np.asarray(1.0 if spacing is None else spacing, np.float64))
    if sides.shape not in ((1,), (2,), (3,)) or not (np.isfinite(sides) & (sides > 0)).all():
        raise ValueError(
            "spacing is a pixel size in mm, (row, column) or (slice, row, column), above 0, but "
            f"got {spacing}."
        )
    *thickness, row, column = (sides[0], sides[0]) if len(sides) == 1 else sides
    affine = np.diag([column, row, thickness[0] if thickness else row, 1.0])
    grid = Grid((shape[-1], shape[-2], slices), affine)
    unchanged = Orientation((0, 1, 2), (False, False, False))
    return Placement(grid, grid, grid, grid, unchanged, (0, 0), source_format="none")


def _call(
    part: MethodPart,
    prior: Mapping[str, str],
    noise: float | Mapping[str, Any],
    samples: int,
    seed: int,
) -> str:
    """Return the call of Python that draws the same images again."""
    data = f"y, {prior['name']!r}, {part.name!r}, noise_std={noise!r}"
    if isinstance(noise, Mapping):
        data = f"GeneralProblem(operator, y, NOISE), {prior['name']!r}, {part.name!r}"
    more = "".join(f", {name}={value!r}" for name, value in part.options.items())
    return f"uqrestore.sample(operator, {data}, samples={samples}, seed={seed}{more})"
