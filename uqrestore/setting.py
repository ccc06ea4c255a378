"""How a scan was measured and restored, in the words of a guarantee's scope."""

import json
from collections.abc import Mapping
from typing import Any

from uqrestore.evaluation.scope import Plain, Setting

UNIT = "network"
"""Scans differ in their units, so scenes are compared in network intensity, about [-1, 1]."""


def setting_of(
    provenance: Mapping[str, Any],
    operator: str,
    draws: int,
    pixel_mm: tuple[float, float],
    keys: tuple[str, ...] = (),
) -> Setting:
    """Return the setting of one posterior file.

    Args:
        provenance: Of the file.
        operator: Registry name.
        draws: Posterior samples of a slice.
        pixel_mm: Rows and columns of a pixel, in mm.
        keys: Hashes of the true slices, where they are known.
    """
    pipeline, prior = provenance["pipeline"], provenance["prior"]
    sampler = {key: _plain(value) for key, value in pipeline["method"].items()}
    said = pipeline["operator"] or {}
    skip = ("name", "seed")
    return Setting(
        operator=operator,
        model=f"{prior['name']}:{str(prior['sha256'])[:12]}",
        sampler=sampler | {"draws": draws},
        noise_std=float(pipeline["noise_std"]),
        parameters={key: _plain(value) for key, value in said.items() if key not in skip},
        voxel_size=(round(pixel_mm[0], 4), round(pixel_mm[1], 4)),
        unit=UNIT,
        keys=keys,
    )


def _plain(value: Any) -> Plain:  # noqa: ANN401 - any JSON value
    plain = isinstance(value, str | int | float | bool)
    return value if plain else json.dumps(value, sort_keys=True)
