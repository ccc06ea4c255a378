"""Variables of a posterior file, and a check of its structure that reads no values."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from uqrestore.posterior._hdf5 import UNREADABLE, Group, dimensions, short
from uqrestore.scans.grid import affine_fault
from uqrestore.scans.placement import Placement


@dataclass(frozen=True)
class Variable:
    """One variable of the schema.

    Attributes:
        dims: Dimensions; ``channel`` is left out in files of one channel. None: any.
        kinds: NumPy kinds its dtype may have.
        needed: ``"always"``, ``"complete"`` (not while partial) or ``"never"``.
        about: Description in one line.
    """

    dims: tuple[str, ...] | None
    kinds: str
    needed: str
    about: str


HASH_OF_ALL = "/integrity/file_sha256"
SPACE = ("channel", "z", "y", "x")
SCHEMA: dict[str, Variable] = {
    "/z": Variable(("z",), "f", "always", "coordinate along the slice axis, mm"),
    "/y": Variable(("y",), "f", "always", "coordinate along rows, mm"),
    "/x": Variable(("x",), "f", "always", "coordinate along columns, mm"),
    "/slice": Variable(("z",), "i", "always", "index of each slice on the model's grid"),
    "/affine": Variable((), "i", "always", "its attributes hold the geometry"),
    "/posterior/image": Variable(("chain", "draw", *SPACE), "f", "always", "the draws"),
    "/posterior/valid": Variable(("chain", "draw", "z"), "u", "always", "1 once written"),
    "/posterior/seed": Variable(("draw",), "u", "complete", "seed of the run"),
    "/posterior/nfe": Variable(("draw",), "i", "complete", "denoiser calls for each slice"),
    "/posterior/wall_s": Variable(("draw",), "f", "complete", "seconds spent"),
    "/estimate/mmse": Variable(SPACE, "f", "complete", "posterior mean"),
    "/estimate/std": Variable(SPACE, "f", "complete", "posterior standard deviation"),
    "/estimate/quantile": Variable(("q", *SPACE), "f", "never", "posterior quantiles"),
    "/estimate/pc": Variable(
        ("channel", "component", "z", "y", "x"), "f", "never", "principal components"
    ),
    "/estimate/pc_std": Variable(("component", "z"), "f", "never", "standard deviation along pc"),
    "/estimate/explained": Variable(("component",), "f", "never", "share of the variance"),
    "/estimate/mean_gap": Variable(SPACE, "f", "never", "mean of the draws minus mmse"),
    "/moments/mean": Variable(SPACE, "f", "never", "mean of all draws, where not all are kept"),
    "/moments/squares": Variable(SPACE, "f", "never", "their summed squared deviations"),
    "/moments/gram": Variable(("z", "of", "with"), "f", "never", "their inner products"),
    "/interval/lower": Variable(SPACE, "f", "never", "lower ends of guaranteed intervals"),
    "/interval/upper": Variable(SPACE, "f", "never", "upper ends of guaranteed intervals"),
    "/interval/half_width": Variable(
        ("component", "z"), "f", "never", "of a guaranteed box along the components"
    ),
    "/interval/radius": Variable(("z",), "f", "never", "of that box outside of the components"),
    "/observed_data/y": Variable(None, "fc", "always", "the measurement"),
    "/observed_data/noise_std": Variable(None, "f", "always", "noise of y"),
    "/observed_data/coil_mixing": Variable(
        ("ri", "scanner_coil", "coil"), "f", "never", "the scanner's coils of the coils of y"
    ),
    HASH_OF_ALL: Variable(("byte",), "u", "complete", "hash of the file itself"),
}


def structure_faults(file: Group) -> Iterator[str]:
    """Yield what is wrong with names, dimensions, types and attributes; no values are read."""
    status = str(file.attrs.get("status"))
    if status not in ("complete", "partial"):
        yield f"/: status is {status!r}, it can be 'complete' or 'partial'"
    for name in ("provenance", "scope", "figures"):
        yield from _json_faults(file, name)
    sizes: dict[str, int] = {}
    for name, wanted in SCHEMA.items():
        needed = wanted.needed == "always" or (wanted.needed == "complete" and status == "complete")
        yield from _variable_faults(file, name, wanted, needed, sizes)
    mask = Variable(SPACE[1:], "iub", "never", "where the object is")
    yield from _variable_faults(file, "/constant_data/brain_mask", mask, False, sizes)
    image = Variable(SPACE, "f", "never", "an image to compare with")
    for name in file.get("reference", ()):
        if name == "channel":  # the dimension of complex images
            continue
        yield from _variable_faults(file, f"/reference/{name}", image, True, sizes)
    yield from _parameter_faults(file, sizes)
    try:
        yield from _attribute_faults(file)
    except UNREADABLE as error:
        yield f"file: geometry or operator cannot be read ({short(error)})"


def _json_faults(file: Group, name: str) -> Iterator[str]:
    if name not in file.attrs:
        return
    try:
        content = json.loads(file.attrs[name])
    except (ValueError, TypeError, RecursionError) as error:
        yield f"/: attribute {name} is not JSON ({short(error)})"
        return
    if not isinstance(content, dict):
        yield f"/: attribute {name} is no JSON object"
    elif name == "figures" and not all(isinstance(v, int | float) for v in content.values()):
        yield "/: attribute figures holds what is no number"


def _variable_faults(
    file: Group, name: str, wanted: Variable, needed: bool, sizes: dict[str, int]
) -> Iterator[str]:
    try:
        if name not in file:
            if needed:
                yield f"{name}: is missing"
            return
        variable = file[name]
        dims, dtype, shape = dimensions(variable), variable.dtype, variable.shape
    except UNREADABLE as error:
        yield f"{name}: is no variable that can be read ({short(error)})"
        return
    if dtype.kind not in wanted.kinds:
        yield f"{name}: holds {dtype}, wanted kind {wanted.kinds!r}"
    if wanted.dims is None:
        return
    without = tuple(dim for dim in wanted.dims if dim != "channel")
    if dims not in (wanted.dims, without):
        yield f"{name}: has dimensions {dims}, wanted {without}"
        return
    for dim, size in zip(dims, shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            yield f"{name}: has {size} along {dim!r} where others have {sizes[dim]}"


def _parameter_faults(file: Group, sizes: dict[str, int]) -> Iterator[str]:
    """Yield what is wrong with the draws of unknown parameters."""
    skip = ("chain", "draw", "z")
    for name in file.get("parameters", ()):
        place = f"/parameters/{name}"
        try:
            variable = file[place]
            if variable.is_scale or name in skip:
                continue
            dims, attrs = dimensions(variable), variable.attrs
            numbers = math.prod(variable.shape[3:])
            stated = [np.size(attrs[key]) for key in ("prior_centre", "prior_std")]
        except UNREADABLE as error:
            yield f"{place}: is no parameter that can be read ({short(error)})"
            continue
        own = Variable((*skip, *dims[3:]), "f", "never", "draws of an unknown parameter")
        yield from _variable_faults(file, place, own, False, sizes)
        if stated != [numbers, numbers]:
            yield f"{place}: has {numbers} numbers a draw but states a prior of {stated}"


def _attribute_faults(file: Group) -> Iterator[str]:
    attrs = file["affine"].attrs
    affine = np.asarray(attrs["affine_ras"], np.float64).reshape(4, 4)
    if fault := affine_fault(affine):
        yield f"/affine: {fault}"
        return
    model = Placement.from_data(json.loads(attrs["placement"])).model
    if not np.allclose(model.affine, affine):
        yield "/affine: affine_ras and placement disagree"
    image = file["posterior/image"]
    if tuple(model.shape[1::-1]) != image.shape[-2:]:
        yield f"/affine: its grid {model.shape} is not that of the images {image.shape[-2:]}"
    noise = file["observed_data"].attrs.get("noise_model")
    if noise is not None and "model" not in json.loads(noise):
        yield "/observed_data: noise_model names no model"
    operator = file["operator"].attrs
    content = {name: json.loads(operator[name]) for name in ("params", "arrays")}
    if not all(isinstance(part, dict) for part in content.values()):
        yield "/operator: params and arrays are no JSON objects"
    elif not all(place in file for place in content["arrays"].values()):
        yield "/operator: an array is missing"


def read_arrays(file: Group) -> dict[str, np.ndarray]:
    """Return the operator's arrays with the dtypes they were given with."""
    arrays = {}
    for key, place in json.loads(file["operator"].attrs["arrays"]).items():
        values = np.asarray(file[place][...])
        arrays[key] = values.astype(bool) if file[place].attrs.get("dtype") == "bool" else values
    return arrays
