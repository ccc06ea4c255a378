"""Writing of the finished file: compressed, hashed, and named only once it is on disk."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from uqrestore._shared.files import atomic
from uqrestore.posterior import _layout as layout
from uqrestore.posterior._bytes import RawArray, Sink, Uninterrupted
from uqrestore.posterior._hdf5 import Group, byte_offset
from uqrestore.posterior._partial import Slabs, checksum
from uqrestore.posterior.integrity import DIGEST_BYTES, MARK, file_sha256
from uqrestore.posterior.plan import PosteriorPlan, to_json
from uqrestore.posterior.storage import Storage, bit_round, write_moments
from uqrestore.posterior.summaries import ComponentBox, Interval, Summary


def write_finished(
    path: Path,
    slabs: Slabs,
    plan: PosteriorPlan,
    summary: Summary,
    figures: Mapping[str, float],
    storage: Storage,
) -> None:
    """Write the whole file under a temporary name, sync it, and give it its name in one step.

    Raises:
        OSError: If the disk is full or fails, or a slab changed since it was written.
        KeyboardInterrupt: On Ctrl-C, once HDF5 has let go of the file.
    """
    with atomic(path) as temporary, temporary.open("r+b", buffering=0) as raw:
        sink = Sink(raw)  # type: ignore[arg-type]
        with Uninterrupted() as interrupt:
            place = _write(sink, slabs, plan, summary, figures, storage, interrupt)
        sink.check()
        digest = file_sha256(raw, place)  # type: ignore[arg-type]
        RawArray(raw, place, (DIGEST_BYTES,), np.dtype("u1")).write(  # type: ignore[arg-type]
            (), np.frombuffer(digest, np.uint8)
        )


def _write(
    sink: Sink,
    slabs: Slabs,
    plan: PosteriorPlan,
    summary: Summary,
    figures: Mapping[str, float],
    storage: Storage,
    interrupt: Uninterrupted,
) -> int:
    import h5netcdf

    kept = storage.kept(plan.draws)

    with h5netcdf.File(sink, "w") as file:
        layout.write_known(file, plan, "complete")
        file.attrs["figures"] = to_json(dict(figures))
        _estimate(file.create_group("estimate"), plan, summary)
        if isinstance(summary.guaranteed, Interval):
            _interval(file.create_group("interval"), plan, summary.guaranteed)
        elif summary.guaranteed is not None:
            _box(file.create_group("interval"), plan, summary.guaranteed)
        posterior = file.create_group("posterior")
        posterior.dimensions["chain"], posterior.dimensions["draw"] = 1, None
        posterior.resize_dimension("draw", len(kept))
        layout.draw_dimensions(posterior, kept)
        _numbers(posterior, slabs, plan, kept)
        if len(kept) < plan.draws:
            write_moments(file.create_group("moments"), slabs, plan)
        if plan.stats:
            group = file.create_group("sample_stats")
            layout.draw_dimensions(group, kept)
            for name in plan.stats:
                values = slabs.arrays[f"/sample_stats/{name}"].read()[:, kept]
                layout.put(group, name, ("chain", "draw", "z"), values)
        if plan.parameters:
            group = file.create_group("parameters")
            layout.draw_dimensions(group, kept)
            for p in plan.parameters:
                values = slabs.arrays[f"/parameters/{p.name}"].read()[:, kept]
                dims = ("chain", "draw", "z", *p.dims)
                layout.put(group, p.name, dims, values, **layout.about_parameter(p))
        place = _digest(file.create_group("integrity"))
        _draws(posterior, slabs, plan, storage, sink, interrupt)
    return place


def _draws(
    group: Group,
    slabs: Slabs,
    plan: PosteriorPlan,
    storage: Storage,
    sink: Sink,
    interrupt: Uninterrupted,
) -> None:
    """Copy the draws, one slice of one draw at a time, and hash them in the file's order."""
    expected = slabs.arrays["/writing/crc32"].read()
    dims = ("chain", "draw", *plan.image_dims)
    chunk = (*(1 for _ in dims[:-2]), plan.rows, plan.columns)
    layout.declare(group, plan.image_dims, plan.image_shape)
    variable = group.create_variable("image", dims, "<f4", chunks=chunk, **layout.FILTERS)
    data, digest = variable._h5ds, hashlib.sha256()
    low, high = np.inf, -np.inf
    for place, draw in enumerate(storage.kept(plan.draws)):
        for channel in range(plan.channels):
            for position in range(len(plan.slices)):
                image = slabs.read(draw, position)
                if checksum(image) != expected[draw, position]:
                    raise OSError(
                        f"draw {draw} of slice {plan.slices[position]} changed on disk after it "
                        "was written"
                    )
                plane = bit_round(image[channel], storage.keepbits)
                inside = (position,) if plan.channels == 1 else (channel, position)
                layout.write_plane(data, (0, place, *inside), plane, digest)
                low, high = min(low, float(plane.min())), max(high, float(plane.max()))
                sink.check()
                if interrupt.asked:
                    return
    variable.attrs.update(
        {
            "units": plan.unit,
            "long_name": "posterior draws",
            **({"actual_range": np.asarray([low, high], np.float32)} if low <= high else {}),
            **storage.attributes(),
            "spatial_ref": "affine",
            "sha256": digest.hexdigest(),
        }
    )


def _numbers(group: Group, slabs: Slabs, plan: PosteriorPlan, kept: list[int]) -> None:
    """Write what goes with every draw; calls and seconds are summed over its slices."""
    put = layout.put
    valid = slabs.arrays["/posterior/valid"].read()[:, kept]
    put(group, "valid", ("chain", "draw", "z"), valid, long_name="1 where the draw is written")
    seeds = np.full(len(kept), plan.seed, np.uint64)
    put(
        group,
        "seed",
        ("draw",),
        seeds,
        long_name="seed of the run; a draw's stream is that of (seed, scan, slice, draw)",
    )
    calls = slabs.arrays["/writing/nfe"].read().max(axis=1)[kept]
    put(group, "nfe", ("draw",), calls, long_name="denoiser calls for each slice of the draw")
    seconds = slabs.arrays["/writing/wall_s"].read().sum(axis=1)[kept]
    put(group, "wall_s", ("draw",), seconds, units="s", long_name="time spent on the draw")


def _estimate(group: Group, plan: PosteriorPlan, summary: Summary) -> None:
    image, volume = layout.image, plan.to_volume
    group.attrs["draws"] = summary.draws
    image(
        group,
        "mmse",
        volume(summary.mmse),
        plan,
        long_name="posterior mean",
        mmse_source=summary.mmse_source,
        cell_methods="draw: mean",
        ancillary_variables="std",
    )
    image(
        group,
        "std",
        volume(summary.std),
        plan,
        long_name="posterior standard deviation",
        std_source="draws",
        cell_methods="draw: standard_deviation",
    )
    if summary.mean_gap is not None:
        gap = "mean of the draws minus mmse: how far the network and its draws disagree"
        image(group, "mean_gap", volume(summary.mean_gap), plan, long_name=gap)
    if summary.levels:
        layout.put(group, "q", ("q",), np.asarray(summary.levels), long_name="quantile level")
        dims = ("q", *plan.image_dims)
        quantiles = volume(summary.quantiles)
        words = "posterior quantile, an order statistic of the draws"
        source = "k-th smallest of m draws, q = k / (m + 1)"
        image(group, "quantile", quantiles, plan, dims=dims, long_name=words, q_source=source)
    if not len(summary.pc):
        return
    order = np.arange(1, len(summary.pc) + 1, dtype=np.int32)
    layout.put(group, "component", ("component",), order, long_name="principal component")
    directions = volume(summary.pc)
    if plan.channels > 1:
        directions = directions.swapaxes(0, 1)
    dims = (*plan.image_dims[:-3], "component", "z", "y", "x")
    image(
        group,
        "pc",
        directions,
        plan,
        dims=dims,
        units="1",
        long_name="principal component of the posterior, of unit norm in each slice",
        pc_scope=summary.pc_scope,
    )
    layout.put(
        group,
        "pc_std",
        ("component", "z"),
        summary.pc_std,
        units=plan.unit,
        long_name="posterior standard deviation along the component",
        pc_std_source=summary.pc_source,
    )
    layout.put(
        group,
        "explained",
        ("component",),
        summary.explained,
        units="1",
        long_name="share of the variance of the draws of all slices",
    )


def _interval(group: Group, plan: PosteriorPlan, interval: Interval) -> None:
    """Write intervals and their guarantee."""
    group.attrs["guarantee"] = interval.guarantee
    for name, values in (("lower", interval.lower), ("upper", interval.upper)):
        words = f"{name} end of the interval with a guarantee"
        layout.image(group, name, plan.to_volume(values), plan, long_name=words)


def _box(group: Group, plan: PosteriorPlan, box: ComponentBox) -> None:
    """Write a region along the components and its guarantee."""
    group.attrs["guarantee"] = box.guarantee
    order = np.arange(1, len(box.half_width) + 1, dtype=np.int32)
    layout.put(group, "component", ("component",), order, long_name="principal component")
    for name, dims, values, words in (
        ("half_width", ("component", "z"), box.half_width, "half-width along the component"),
        ("radius", ("z",), box.radius, "largest norm of what lies outside of the components"),
    ):
        values = np.asarray(values, np.float32)
        layout.put(group, name, dims, values, units=plan.unit, long_name=words)


def _digest(group: Group) -> int:
    """Reserve the bytes of the file's own SHA-256 and return their place."""
    import h5py

    content = np.frombuffer(MARK + bytes(DIGEST_BYTES), np.uint8)
    group.dimensions["byte"] = len(content)
    fixed = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    fixed.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    variable = group.create_variable("file_sha256", ("byte",), "u1", dcpl=fixed)
    variable[...] = content
    variable.attrs["long_name"] = (
        "a mark of 16 bytes, then the SHA-256 of the file with its own 32 bytes as zeros"
    )
    return byte_offset(variable._h5ds) + len(MARK)
