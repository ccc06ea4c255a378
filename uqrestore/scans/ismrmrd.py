"""ISMRMRD raw data, read with h5py alone: Cartesian lines, and radial spokes of 2-D slices."""

from dataclasses import replace
from typing import Any

import numpy as np

from uqrestore.scans.cartesian import cartesian_scan
from uqrestore.scans.coil_noise import CoilNoise, noise_from_samples, whiten
from uqrestore.scans.errors import ScanError
from uqrestore.scans.ismrmrd_header import CARTESIAN, Header, read_header
from uqrestore.scans.ismrmrd_lines import one_of_each, samples_of, sort_lines
from uqrestore.scans.kspace import RawScan
from uqrestore.scans.radial import RadialScan, radial_scan
from uqrestore.scans.readout import decode_readout
from uqrestore.scans.sampling import STRAY_ZEROS, sampled_by_zeros
from uqrestore.scans.scan import Source

HIGHEST = 0.5  # of a trajectory, in cycles per pixel of the image


def read_ismrmrd(
    group: Any,  # noqa: ANN401 - h5py is typed loosely
    source: Source,
    noise: CoilNoise | None = None,
) -> RawScan | RadialScan:
    """Read the group ``dataset`` of a file.

    Args:
        group: Group that holds ``xml`` and ``data``.
        source: Origin; its volume chooses one of several images of a slice, in the order of
            contrast, phase, repetition and set.
        noise: Noise of the samples, instead of the file's.

    Raises:
        ScanError: If its trajectory is of another kind, or headers or lines say what the reader
            cannot use.
    """
    header = read_header(np.ravel(group["xml"][...])[0], source.name)
    if header.trajectory not in {*CARTESIAN, "radial"}:
        raise ScanError(
            f"{source.name}: its trajectory is {header.trajectory}; only Cartesian and radial "
            "k-space are read."
        )
    lines = sort_lines(group["data"][...], header, source.volume)
    source = replace(source, note="; ".join(lines.notes))
    if noise is None:
        noise = _noise(lines.noise, lines.image["head"], header)
    if header.trajectory == "radial":
        return _radial(lines.image, header, noise, source)
    return _cartesian(lines.image, lines.calibration, header, noise, source)


def _cartesian(
    lines: np.ndarray,
    calibration: np.ndarray,
    header: Header,
    noise: CoilNoise | None,
    source: Source,
) -> RawScan:
    heads, name = lines["head"], header.name
    counter = "slice"
    if len(np.unique(heads["idx"]["kspace_encode_step_2"])) > 1:
        counter = "kspace_encode_step_2"
    slices, affine, readout = _stack(heads, header, counter)
    places = [(int(h[counter]), int(h["kspace_encode_step_1"])) for h in heads["idx"]]
    chosen, averages = one_of_each(places, heads["idx"]["average"], name)

    def gathered(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        kspace, counts = _gather(lines, slices, header, counter)
        if counter == "slice":
            return kspace, np.asarray(counts.any(axis=0))
        return decode_readout(kspace, counts > 0, header.readout, name), counts.sum(-1) > 0

    kspace, claimed = gathered(lines[chosen])
    measured = sampled_by_zeros(kspace, name)
    if measured[claimed].mean() >= 1 - STRAY_ZEROS:  # a few are zero by chance in integer data
        measured = claimed
    notes = [source.note]
    if averages > 1:
        notes.append(f"mean of {averages} averages")
        noise = None if noise is None else replace(noise, std=noise.std / averages**0.5)
    if left := int((~chosen).sum()):
        notes.append(f"{left} further averages of some lines left out")
    source = replace(source, note="; ".join(filter(None, notes)))
    known = np.isin(calibration["head"]["idx"][counter], list(slices))
    return cartesian_scan(
        kspace,
        measured,
        affine,
        source=source,
        noise=noise,
        readout=readout,
        calibration=gathered(calibration[known])[0] if known.any() else None,
    )


def _radial(
    lines: np.ndarray, header: Header, noise: CoilNoise | None, source: Source
) -> RadialScan:
    """Read spokes, whose trajectory stands beside their samples; the same for every slice."""
    if noise is None:
        raise ScanError(
            f"{source.name}: radial k-space needs a noise scan in the file, or its standard "
            "deviation (--noise-std, read_input(noise_std=...))."
        )
    heads = lines["head"]
    slices, _ = _geometry(heads, header)
    spokes: list[list[np.ndarray]] = [[] for _ in slices]
    places: list[list[np.ndarray]] = [[] for _ in slices]
    for line in lines:
        head = line["head"]
        samples, _, kept = samples_of(line, header)
        points = np.asarray(line["traj"], np.float64)
        if int(head["trajectory_dimensions"]) != 2 or len(points) != 2 * samples.shape[1]:
            raise ScanError(
                f"{source.name}: a spoke of {samples.shape[1]} samples has no trajectory of two "
                "numbers a sample beside it."
            )
        place = slices[int(head["idx"]["slice"])]
        spokes[place].append(samples[:, kept])
        places[place].append(points.reshape(-1, 2)[kept])
    first = np.asarray(places[0]) if len({p.shape for p in places[0]}) == 1 else None
    if first is None or any(
        len(other) != len(first) or not np.allclose(np.asarray(other), first, atol=1e-5)
        for other in places
    ):
        raise ScanError(f"{source.name}: its slices are sampled differently from one another.")
    reach = float(np.abs(first).max())
    if not 0 < reach <= HIGHEST * 1.01:
        raise ScanError(
            f"{source.name}: its trajectory reaches {reach:.3g}, but {HIGHEST} is the highest "
            "frequency of the image; divide it by the image's highest frequency and by 2."
        )
    samples = np.stack([np.concatenate(lines, axis=1) for lines in spokes])
    columns, rows = header.recon[:2]
    pixel = header.recon_mm[0] / columns, header.recon_mm[1] / rows
    _, affine = _geometry(heads, header, pixel=pixel, size=(columns, rows))
    return radial_scan(
        whiten(samples, noise),
        2 * np.pi * np.clip(first.reshape(-1, 2)[:, ::-1], -HIGHEST, HIGHEST),
        (rows, columns),
        affine,
        spokes=len(first),
        noise=noise,
        source=source,
    )


def _stack(
    heads: np.ndarray, header: Header, counter: str
) -> tuple[dict[int, int], np.ndarray, tuple[int, int] | None]:
    """Return the place of every value of a counter, the affine, and the readout still to be cut.

    The places of 3-D scans are those of partitions in k-space, and its slices are the pixels of the
    readout.
    """
    slices, affine = _geometry(heads, header)
    if counter == "slice":
        return slices, affine, (-1, header.readout)
    count = header.encoded[2]
    places = {place - count // 2 + header.partition_center: place for place in range(count)}
    steps = np.unique(heads["idx"][counter])
    if not np.isin(steps, list(places)).all():
        raise ScanError(
            f"{header.name}: steps {steps[0]} to {steps[-1]} of the second phase encoding do not "
            f"fit an encoding of {count} about step {header.partition_center}."
        )
    middle = affine @ [header.encoded[0] // 2, header.encoded[1] // 2, 0, 1]
    sides = affine[:, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    pixels = (*header.pixel, header.encoded_mm[2] / count)
    stacked = np.eye(4)
    stacked[:, :3] = (sides * pixels)[:, [1, 2, 0]]
    size = np.asarray([header.encoded[1], count, header.readout])
    stacked[:3, 3] = middle[:3] - stacked[:3, :3] @ (size // 2)
    return places, stacked, None


def _gather(
    lines: np.ndarray, slices: dict[int, int], header: Header, counter: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of lines (slice, coil, phase, readout) and their number at each sample."""
    coils = int(lines["head"]["active_channels"][0])
    readout, phases = header.encoded[0], header.encoded[1]
    count = len(slices) if counter == "slice" else header.encoded[2]
    kspace = np.zeros((count, coils, phases, readout), np.complex64)
    counts = np.zeros((count, phases, readout), np.uint16)
    for line in lines:
        head = line["head"]
        samples, center, kept = samples_of(line, header)
        step = int(head["idx"]["kspace_encode_step_1"])
        phase = step - header.center + phases // 2
        start = readout // 2 - center
        stop = start + samples.shape[1]
        limits = header.phase
        outside = limits is not None and not limits.minimum <= step <= limits.maximum
        if not 0 <= phase < phases or start < 0 or stop > readout or outside:
            raise ScanError(
                f"{header.name}: a line of {samples.shape[1]} samples, zero frequency at {center}, "
                f"at step {step} does not fit the encoding of {readout} x {phases}."
            )
        if len(samples) != coils:
            raise ScanError(f"{header.name}: lines have {coils} and {len(samples)} coils.")
        place = slices[int(head["idx"][counter])]
        kspace[place, :, phase, start:stop] += np.where(kept, samples, 0)
        counts[place, phase, start:stop] += kept
    return kspace / np.maximum(counts, 1)[:, None], counts


def _noise(lines: np.ndarray, heads: np.ndarray, header: Header) -> CoilNoise | None:
    """Return the noise of a line of the image; noise power goes with the bandwidth."""
    if not len(lines):
        return None
    kept = [samples_of(line, header) for line in lines]
    coils = {len(samples) for samples, _, _ in kept} | {int(heads["active_channels"][0])}
    if len(coils) > 1:
        raise ScanError(
            f"{header.name}: its noise scan and its image have different numbers of coils: "
            f"{sorted(coils)}."
        )
    values = np.concatenate([samples[:, used] for samples, _, used in kept], axis=1)
    mine, theirs = (float(np.median(h["sample_time_us"])) for h in (heads, lines["head"]))
    power = theirs / mine if mine > 0 and theirs > 0 else 1.0
    try:
        return noise_from_samples(values, "noise scan", power / header.receiver_bandwidth)
    except ScanError as error:
        raise ScanError(f"{header.name}: {error}") from error


def _geometry(
    heads: np.ndarray,
    header: Header,
    *,
    pixel: tuple[float, float] | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[dict[int, int], np.ndarray]:
    """Return the place of every slice counter, and (readout, phase, slice) to RAS+ mm.

    Positions order the slices, for counters may follow the order of acquisition; they are of the
    middle of a slice, LPS.
    """
    name = header.name
    counters = heads["idx"]["slice"]
    first = {int(c): heads[np.flatnonzero(counters == c)[0]] for c in np.unique(counters)}
    readout, phase, through = (
        np.asarray(heads[0][key], float) for key in ("read_dir", "phase_dir", "slice_dir")
    )
    axes = np.stack([readout, phase, through])
    if np.abs(axes @ axes.T - np.eye(3)).max() > 0.02:
        raise ScanError(
            f"{name}: read_dir, phase_dir and slice_dir of its lines are not three orthogonal "
            "directions of length 1."
        )
    for counter, head in first.items():
        moved = np.abs(heads["position"][counters == counter] - head["position"]).max()
        if moved > 0.01:
            raise ScanError(f"{name}: slice {counter} moves by {moved:.2f} mm between its lines.")
    along = {c: float(np.asarray(head["position"], float) @ through) for c, head in first.items()}
    order = sorted(first, key=lambda counter: along[counter])
    middle = np.stack([first[c]["position"] for c in order]).astype(float)
    count = len(middle)
    step = through * header.recon_mm[2] / max(header.recon[2], 1)
    if count > 1:
        step = (middle[-1] - middle[0]) / (count - 1)
        off = np.abs(middle - middle[0] - np.arange(count)[:, None] * step).max()
        if off > max(0.01, 0.01 * float(np.linalg.norm(step))) or not np.any(step):
            raise ScanError(f"{name}: its slices are not regularly spaced (off by {off:.3f} mm).")
    pixel, size = pixel or header.pixel, size or header.encoded[:2]
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = readout * pixel[0], phase * pixel[1]
    affine[:3, 2] = step
    affine[:3, 3] = middle[0] - affine[:3, 0] * (size[0] // 2) - affine[:3, 1] * (size[1] // 2)
    return {c: place for place, c in enumerate(order)}, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
