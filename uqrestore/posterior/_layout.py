"""Layout of a posterior file: groups, dimensions and variables of a netCDF-4 file.

Names and dimensions are those of ``schema.py``; ``docs/file-format.md`` describes them for users.
"""

import hashlib
import importlib.metadata
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from uqrestore._shared.version import __version__
from uqrestore.posterior._hdf5 import Group
from uqrestore.posterior._scratch import let_go
from uqrestore.posterior.plan import Parameter, PosteriorPlan, to_json

CONVENTIONS = "CF-1.11 uqrestore-1"
WARNING = "Research software, not a medical device; not for diagnosis."
COMPRESS_ABOVE = 2048  # bytes; below, filters cost more than they save
TOWARDS = {
    "R": "right",
    "L": "left",
    "A": "anterior",
    "P": "posterior",
    "S": "superior",
    "I": "inferior",
}
FILTERS: dict[str, Any] = {
    "compression": "gzip",
    "compression_opts": 1,
    "shuffle": True,
    "fletcher32": True,
}


def write_known(file: Group, plan: PosteriorPlan, status: str) -> None:
    """Write all that is known before the draws: geometry, measurement, operator, provenance.

    Args:
        file: An open ``h5netcdf.File``.
        plan: Content of the file.
        status: ``"partial"`` or ``"complete"``.
    """
    file.attrs.update(
        {
            "Conventions": CONVENTIONS,
            "title": plan.title,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "inference_library": "uqrestore",
            "inference_library_version": __version__,
            "status": status,
            "warning": WARNING,
            "fingerprint": plan.fingerprint,
            "plan_sha256": plan.digest,
            "provenance": to_json({**versions(), **plan.provenance}),
        }
    )
    if plan.scope is not None:
        file.attrs["scope"] = to_json(plan.scope)
    _geometry(file, plan)
    _observed(file.create_group("observed_data"), plan)
    _operator(file, plan)
    if plan.reference:
        group = file.create_group("reference")
        for name, images in plan.reference.items():
            image(group, name, plan.to_volume(images), plan, long_name=name.replace("_", " "))


def draw_dimensions(group: Group, draws: Sequence[int]) -> None:
    """Give a group the dimensions of draws, with their coordinates."""
    group.attrs["sample_dims"] = ["chain", "draw"]
    put(group, "chain", ("chain",), np.zeros(1, np.int32), long_name="independent chain")
    put(
        group,
        "draw",
        ("draw",),
        np.asarray(draws, np.int32),
        long_name="posterior draw, the sample of its random stream",
    )


def about_parameter(parameter: Parameter) -> dict[str, Any]:
    """Return the attributes of the draws of a parameter."""
    return {
        "units": parameter.unit,
        "long_name": f"posterior draws of {parameter.name.replace('_', ' ')}",
        "prior_centre": parameter.centre.ravel(),
        "prior_std": parameter.std.ravel(),
        **({} if parameter.truth is None else {"truth": parameter.truth.ravel()}),
    }


def image(  # the attributes every image shares
    group: Group,
    name: str,
    values: np.ndarray,
    plan: PosteriorPlan,
    *,
    dims: tuple[str, ...] | None = None,
    units: str | None = None,
    **attrs: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Write an image volume, one slice a chunk."""
    dims = dims or plan.image_dims
    chunks = (*(1 for _ in dims[:-2]), *values.shape[-2:])
    units = plan.unit if units is None else units
    return put(
        group, name, dims, np.asanyarray(values, np.float32), chunks=chunks, units=units,
        spatial_ref="affine", **attrs,
    )  # fmt: skip


def put(
    group: Group,
    name: str,
    dims: tuple[str, ...],
    values: np.ndarray,
    *,
    chunks: tuple[int, ...] | None = None,
    **attrs: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Write one array with its dimensions, attributes and SHA-256; one in planes plane by plane."""
    values = np.asanyarray(values)
    if values.dtype == bool:
        values, attrs = values.astype(np.int8), {**attrs, "dtype": "bool"}
    declare(group, dims, values.shape)
    options: dict[str, Any] = {}
    if values.ndim and values.nbytes > COMPRESS_ABOVE:
        options = {**FILTERS, "chunks": chunks or _whole_slices(dims, values.shape)}
    variable = group.create_variable(name, dims, values.dtype, **options)
    variable.attrs.update(attrs)
    if chunks is None or not options:
        variable[...] = values
        variable.attrs["sha256"] = array_sha256(values)
        return variable
    digest, data = hashlib.sha256(), variable._h5ds
    for index in np.ndindex(values.shape[:-2]):
        write_plane(data, index, values[index], digest)
        let_go(values)
    variable.attrs["sha256"] = digest.hexdigest()
    return variable


def write_plane(
    data: Group,
    index: tuple[int, ...],
    plane: np.ndarray,
    digest: Any,  # noqa: ANN401
) -> None:
    """Write one plane of a variable, and add it to the hash of its values.

    Args:
        data: The variable's ``_h5ds``: thousands of small writes through h5netcdf take 20x longer.
        index: Leading indices of the plane.
        plane: (row, column).
        digest: Hash (``hashlib``) over the planes in the file's order.
    """
    plain = np.ascontiguousarray(plane, plane.dtype.newbyteorder("<"))
    data[index] = plain
    digest.update(plain)


def declare(group: Group, dims: tuple[str, ...], shape: tuple[int, ...]) -> None:
    """Create the dimensions that neither the group nor one above it has."""
    for dim, size in zip(dims, shape, strict=True):
        place = group
        while place is not None and dim not in place.dimensions:
            place = place.parent if place.parent is not place else None
        if place is None:
            group.dimensions[dim] = size


def array_sha256(values: np.ndarray) -> str:
    """Hash an array's values: C order, little-endian."""
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(plain.tobytes()).hexdigest()


def operator_sha256(name: str, params: dict[str, Any], arrays: dict[str, np.ndarray]) -> str:
    """Hash an operator: name, parameters and every array."""
    hashes = {key: array_sha256(np.asarray(value)) for key, value in arrays.items()}
    return hashlib.sha256(to_json([name, params, hashes]).encode()).hexdigest()


def versions() -> dict[str, Any]:
    """Return the versions that may change a number; nothing about the machine or its user."""
    packages = ("torch", "numpy", "h5py", "h5netcdf")
    return {
        "versions": {"uqrestore": __version__, **{name: _version(name) for name in packages}},
        "python": platform.python_version(),
    }


def _geometry(file: Group, plan: PosteriorPlan) -> None:
    grid, slices = plan.placement.model, np.asarray(plan.slices, np.int32)
    for axis, name, letter in ((2, "z", "Z"), (1, "y", "Y"), (0, "x", "X")):
        values = grid.coordinates(axis)
        put(
            file,
            name,
            (name,),
            values[slices] if axis == 2 else values,
            units="mm",
            axis=letter,
            long_name=f"distance along the scan's axis, towards {TOWARDS[grid.directions[axis]]}",
        )
    put(file, "slice", ("z",), slices, long_name="index of the slice on the model's grid")
    put(
        file,
        "affine",
        (),
        np.zeros((), np.int32),
        long_name="voxel (column, row, slice) of the model's grid to RAS+ mm",
        affine_ras=grid.affine.ravel(),
        voxel_size=np.asarray(grid.spacing),
        grid_shape=np.asarray(grid.shape, np.int64),
        orientation=grid.directions,
        source=plan.placement.source_format,
        placement=to_json(plan.placement.to_data()),
    )


def _observed(group: Group, plan: PosteriorPlan) -> None:
    # xarray lets a group inherit the axis ``y``, which would hide a variable of that name unless
    # it is a coordinate of the group itself; and an axis ``y`` cannot be its own values.
    group.attrs["coordinates"] = "y"
    own = {"y": "row", "x": "column"}
    dims, y = plan.y
    dims = tuple(own.get(dim, dim) for dim in dims)
    unit = plan.y_unit or plan.unit
    put(group, "y", dims, y, units=unit, long_name="measurement as acquired")
    if plan.noise_model is not None:
        group.attrs["noise_model"] = to_json(plan.noise_model)
    noise = np.asarray(plan.noise_std, np.float64)
    put(
        group,
        "noise_std",
        ("z",) if noise.ndim else (),
        noise,
        units=unit,
        long_name="standard deviation of the noise of y (per real component)",
    )
    for name, (dims, values) in plan.observed.items():
        put(group, name, tuple(own.get(dim, dim) for dim in dims), values)


def _operator(file: Group, plan: PosteriorPlan) -> None:
    name, params, arrays = plan.operator
    constants = file.create_group("constant_data")
    for key, values in arrays.items():
        values = np.asarray(values)
        put(constants, key, tuple(f"{key}_{axis}" for axis in range(values.ndim)), values)
    if plan.mask is not None:
        words = "mask of the brain or the body"
        put(constants, "brain_mask", ("z", "y", "x"), plan.mask, long_name=words)
    file.create_group("operator").attrs.update(
        {
            "class": name,
            "version": __version__,
            "params": to_json(params),
            "arrays": to_json({key: f"/constant_data/{key}" for key in arrays}),
            "sha256": operator_sha256(name, params, arrays),
        }
    )


def _whole_slices(dims: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return (1, *shape[1:]) if dims[0] == "z" else shape


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
