"""Scope of a calibration: its operators, noise, model and sampler."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Plain = str | int | float | bool

UNIT = "network"
"""Scans differ in their units, so scenes are compared in network intensity, about [-1, 1]."""


@dataclass(frozen=True)
class Setting:
    """Measurement and restoration settings of one scan.

    Attributes:
        operator: Registry name of the operator.
        model: Name and hash of the network.
        sampler: Everything that decides the draws: name, steps, number of draws, guidance.
        noise_std: Standard deviation of the measurement noise, network units.
        parameters: Of the operator: acceleration, share of missing pixels, kind of mask.
        voxel_size: In mm.
        unit: Of the intervals.
        keys: Hashes of the scan's scenes, where known.
    """

    operator: str
    model: str
    sampler: Mapping[str, Plain]
    noise_std: float = 0.0
    parameters: Mapping[str, Plain] = field(default_factory=dict)
    voxel_size: tuple[float, ...] = ()
    unit: str = ""
    keys: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        *,
        operator: str,
        prior: tuple[str, str],
        method: Mapping[str, Any],
        measurement: Mapping[str, Any] | None,
        noise_std: float,
        draws: int,
        pixel_mm: tuple[float, float],
        keys: tuple[str, ...] = (),
    ) -> "Setting":
        """Return the setting of a restoration.

        Args:
            operator: Registry name of the operator.
            prior: Name and SHA-256 of the prior.
            method: Name and options of the method.
            measurement: Options and mask of the operator; None if the scan was measured.
            noise_std: Standard deviation of the measurement noise, network units.
            draws: Posterior samples of a slice.
            pixel_mm: Rows and columns of a pixel, in mm.
            keys: Hashes of the true slices, where they are known.
        """
        name, digest = prior
        skip = ("name", "seed")
        return cls(
            operator=operator,
            model=f"{name}:{digest[:12]}",
            sampler={key: _plain(value) for key, value in method.items()} | {"draws": draws},
            noise_std=noise_std,
            parameters={
                key: _plain(value) for key, value in (measurement or {}).items() if key not in skip
            },
            voxel_size=(round(pixel_mm[0], 4), round(pixel_mm[1], 4)),
            unit=UNIT,
            keys=keys,
        )


@dataclass(frozen=True)
class Scope:
    """Settings that a guarantee covers: ranges of numbers, lists of names.

    Attributes:
        operators: Registry names.
        models: Names and hashes.
        samplers: Calibrated combinations of options.
        noise_std: Smallest and largest.
        parameters: Smallest and largest number, or the names seen, of each parameter.
        voxel_size: Smallest and largest along each axis, in mm.
        unit: Of the intervals.
    """

    operators: tuple[str, ...]
    models: tuple[str, ...]
    samplers: tuple[Mapping[str, Plain], ...]
    noise_std: tuple[float, float]
    parameters: Mapping[str, tuple[float, float] | tuple[str, ...]]
    voxel_size: tuple[tuple[float, float], ...]
    unit: str

    @classmethod
    def covering(cls, settings: Sequence[Setting]) -> "Scope":
        """Return the smallest scope that holds all settings of a calibration.

        Raises:
            ValueError: If there are none, or they differ in unit, in the axes of their voxels or
                in which parameters they state.
        """
        if not settings:
            raise ValueError("a scope needs the setting of at least one calibration scan.")
        first = settings[0]
        for other in settings[1:]:
            if (other.unit, len(other.voxel_size), set(other.parameters)) != (
                first.unit,
                len(first.voxel_size),
                set(first.parameters),
            ):
                raise ValueError(
                    "calibration scans must share unit, number of axes and the parameters they "
                    f"state, but one has {other.unit!r}, {len(other.voxel_size)}, "
                    f"{sorted(other.parameters)} and the first {first.unit!r}, "
                    f"{len(first.voxel_size)}, {sorted(first.parameters)}."
                )
        samplers: list[Mapping[str, Plain]] = []
        for setting in settings:
            if dict(setting.sampler) not in samplers:
                samplers.append(dict(setting.sampler))
        return cls(
            operators=tuple(sorted({setting.operator for setting in settings})),
            models=tuple(sorted({setting.model for setting in settings})),
            samplers=tuple(samplers),
            noise_std=_range([setting.noise_std for setting in settings]),
            parameters={
                name: _cover([setting.parameters[name] for setting in settings])
                for name in sorted(first.parameters)
            },
            voxel_size=tuple(
                _range(list(sizes))
                for sizes in zip(*(setting.voxel_size for setting in settings), strict=True)
            ),
            unit=first.unit,
        )

    def faults(self, setting: Setting) -> list[str]:
        """Differences of a setting from the scope, as text; empty if it lies inside."""
        found = []
        if setting.operator not in self.operators:
            found.append(f"operator {setting.operator} is not {_either(self.operators)}")
        if setting.model not in self.models:
            found.append(f"model {setting.model} is not {_either(self.models)}")
        if dict(setting.sampler) not in [dict(sampler) for sampler in self.samplers]:
            found.append(f"sampler {_options(setting.sampler, self.samplers[0])}")
        if not _within(setting.noise_std, self.noise_std):
            found.append(f"noise_std {setting.noise_std:g} is not in {_span(self.noise_std)}")
        if set(setting.parameters) != set(self.parameters):
            found.append(
                f"parameters {sorted(setting.parameters)} are not {sorted(self.parameters)}"
            )
        for name in sorted(set(setting.parameters) & set(self.parameters)):
            value, allowed = setting.parameters[name], self.parameters[name]
            if isinstance(value, str | bool) or isinstance(allowed[0], str):
                if str(value) not in allowed:
                    found.append(f"{name} {value} is not {_either(allowed)}")
            elif not _within(value, allowed):
                found.append(f"{name} {value:g} is not in {_span(allowed)}")
        inside = len(setting.voxel_size) == len(self.voxel_size) and all(
            _within(size, span, slack=0.01)
            for size, span in zip(setting.voxel_size, self.voxel_size, strict=True)
        )
        if not inside:
            found.append(
                f"voxels of {' x '.join(f'{size:g}' for size in setting.voxel_size)} mm are not "
                f"{' x '.join(map(_span, self.voxel_size))} mm"
            )
        if setting.unit != self.unit:
            found.append(f"unit {setting.unit!r} is not {self.unit!r}")
        return found

    def to_data(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Scope":
        """Undo :meth:`to_data`, also after a trip through JSON."""
        return cls(
            operators=tuple(data["operators"]),
            models=tuple(data["models"]),
            samplers=tuple(dict(sampler) for sampler in data["samplers"]),
            noise_std=tuple(data["noise_std"]),
            parameters={name: tuple(span) for name, span in data["parameters"].items()},
            voxel_size=tuple(tuple(span) for span in data["voxel_size"]),
            unit=data["unit"],
        )


def _cover(values: list[Plain]) -> tuple[float, float] | tuple[str, ...]:
    if any(isinstance(value, str | bool) for value in values):
        return tuple(sorted({str(value) for value in values}))
    return _range([float(value) for value in values])


def _range(values: list[float]) -> tuple[float, float]:
    return float(min(values)), float(max(values))


def _within(value: float, span: Sequence[Any], *, slack: float = 1e-6) -> bool:
    low, high = span
    return low - slack * abs(low) <= value <= high + slack * abs(high)


def _span(span: Sequence[Any]) -> str:
    return f"{span[0]:g}" if span[0] == span[1] else f"{span[0]:g} to {span[1]:g}"


def _either(names: Sequence[Any]) -> str:
    return " or ".join(map(str, names))


def _options(found: Mapping[str, Plain], wanted: Mapping[str, Plain]) -> str:
    names = sorted(set(found) | set(wanted))
    differ = [name for name in names if found.get(name) != wanted.get(name)]
    return ", ".join(
        f"{name} is {found.get(name, 'unset')}, calibrated with {wanted.get(name, 'unset')}"
        for name in differ
    )


def setting_of(
    provenance: Mapping[str, Any],
    operator: str,
    draws: int,
    pixel_mm: tuple[float, float],
    keys: tuple[str, ...] = (),
) -> Setting:
    """Return the setting of a posterior file from its provenance.

    Args:
        provenance: Provenance of the file.
        operator: Registry name.
        draws: Posterior samples of a slice.
        pixel_mm: Rows and columns of a pixel, in mm.
        keys: Hashes of the true slices, where they are known.
    """
    pipeline, prior = provenance["pipeline"], provenance["prior"]
    return Setting.of(
        operator=operator,
        prior=(prior["name"], str(prior["sha256"])),
        method=pipeline["method"],
        measurement=pipeline["operator"],
        noise_std=float(pipeline["noise_std"]),
        draws=draws,
        pixel_mm=pixel_mm,
        keys=keys,
    )


def _plain(value: Any) -> Plain:  # noqa: ANN401 - any JSON value
    plain = isinstance(value, str | int | float | bool)
    return value if plain else json.dumps(value, sort_keys=True)
