"""Acquisition headers of ISMRMRD: every flag, counter and field is used or refused by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from uqrestore.scans.errors import ScanError
from uqrestore.scans.ismrmrd_header import CARTESIAN, Header

BOUNDARY, NOISE, CALIBRATION, IMAGE = "boundary", "noise", "calibration", "image"
LEFT_OUT, REVERSED, PHASE_CORRECTION, COMPRESSED, SITE = (
    "left out", "reversed", "phase correction", "compressed", "site"
)  # fmt: skip

FLAGS: dict[int, tuple[str, str]] = {
    **{
        number: (f"{end} in {of}", BOUNDARY)
        for start, of in zip(
            range(1, 19, 2),
            ("encode step 1", "encode step 2", "average", "slice", "contrast", "phase",
             "repetition", "set", "segment"),
            strict=True,
        )
        for number, end in ((start, "first"), (start + 1, "last"))
    },
    19: ("noise measurement", NOISE),
    20: ("parallel calibration", CALIBRATION),
    21: ("parallel calibration and imaging", IMAGE),
    22: ("reversed readout", REVERSED),
    23: ("navigator", LEFT_OUT),
    24: ("phase-correction", PHASE_CORRECTION),
    25: ("last in measurement", BOUNDARY),
    26: ("HP feedback", LEFT_OUT),
    27: ("dummy scan", LEFT_OUT),
    28: ("RT feedback", LEFT_OUT),
    29: ("surface-coil correction", LEFT_OUT),
    30: ("phase stabilization reference", LEFT_OUT),
    31: ("phase stabilization", LEFT_OUT),
    **{52 + i: (f"compression {i}", COMPRESSED) for i in range(1, 5)},
    **{56 + i: (f"user {i}", SITE) for i in range(1, 9)},
}  # fmt: skip
"""Name and use of every flag of the standard; they count from 1."""

FREE = "free"  # no influence on the image
FIELDS: dict[str, str] = {
    "version": "must be 1",
    "flags": "see FLAGS",
    "measurement_uid": FREE,
    "scan_counter": FREE,
    "acquisition_time_stamp": FREE,
    "physiology_time_stamp": FREE,
    "number_of_samples": "must fit the data",
    "available_channels": FREE,
    "active_channels": "must be one number",
    "channel_mask": "must be one mask",
    "discard_pre": "samples are dropped",
    "discard_post": "samples are dropped",
    "center_sample": "places the line along the readout",
    "encoding_space_ref": "lines of the first encoding are used",
    "trajectory_dimensions": "0 for Cartesian lines, 2 for radial ones",
    "sample_time_us": "must be one number; scales the noise",
    "position": "places the slice",
    "read_dir": "orientation; one for all lines",
    "phase_dir": "orientation; one for all lines",
    "slice_dir": "orientation; one for all lines",
    "patient_table_position": "must be one position",
    "idx": "see COUNTERS",
    "user_int": FREE,
    "user_float": FREE,
}
"""Use of every field of the acquisition header."""

COUNTERS: dict[str, str] = {
    "kspace_encode_step_1": "places the line",
    "kspace_encode_step_2": "places the line of a 3-D Cartesian scan; else one number",
    "average": "averages are combined",
    "slice": "lines of one slice; positions order the slices",
    "contrast": "volume",
    "phase": "volume",
    "repetition": "volume",
    "set": "volume",
    "segment": FREE,
    "user": FREE,
}
"""Use of every counter."""

VOLUME = tuple(counter for counter, use in COUNTERS.items() if use == "volume")
ONE_VALUE = (
    "active_channels", "channel_mask", "sample_time_us", "trajectory_dimensions", "read_dir",
    "phase_dir", "slice_dir", "patient_table_position",
)  # fmt: skip
SAME = 1e-3  # absolute for directions and mm; relative for sampling times


@dataclass(frozen=True, eq=False)
class Lines:
    """Acquisitions of a file by their use.

    Attributes:
        image: Lines of the image.
        noise: Lines of the noise scan.
        calibration: Lines for coil maps alone.
        notes: What was left out, in words.
    """

    image: np.ndarray
    noise: np.ndarray
    calibration: np.ndarray
    notes: tuple[str, ...]


def sort_lines(lines: np.ndarray, header: Header, volume: int | None) -> Lines:
    """Sort acquisitions by their flags and choose one volume.

    Raises:
        ScanError: If a flag, counter or field says what the reader cannot use.
    """
    name = header.name
    heads = lines["head"]
    _require_known(heads, name)
    uses = {use: np.zeros(len(heads), bool) for _, use in FLAGS.values()}
    notes = []
    for number in range(1, 65):
        there = (heads["flags"] >> np.uint64(number - 1)) & np.uint64(1) != 0
        if not there.any():
            continue
        label, use = FLAGS.get(number, ("", ""))
        if use in {"", COMPRESSED, SITE}:
            raise ScanError(f"{name}: {_refused(number, label, use, int(there.sum()))}")
        uses[use] |= there
        if use == LEFT_OUT:
            notes.append(f"{there.sum()} {label} lines left out")
    noise = uses[NOISE]
    other = (heads["encoding_space_ref"] != 0) & ~noise
    if other.any():
        notes.append(f"{other.sum()} lines of other encodings left out")
    dropped = other | noise | uses[LEFT_OUT]
    correction = uses[PHASE_CORRECTION] & ~dropped
    if correction.any():
        if (uses[REVERSED] & ~dropped & ~correction).any():
            raise ScanError(
                f"{name}: is echo-planar ({correction.sum()} phase-correction lines beside "
                "readouts of both polarities); correct the phase of its lines first."
            )
        notes.append(f"{correction.sum()} phase-correction lines left out")
    dropped |= correction
    # Embedded calibration lines belong to the same scan as those of the image.
    separate = header.calibration not in {"embedded", "interleaved"}
    calibration = uses[CALIBRATION] & ~uses[IMAGE] & ~dropped
    image = ~dropped & ~(calibration if separate else np.zeros_like(calibration))
    if not image.any():
        raise ScanError(f"{name}: holds no line of an image.")
    image &= _of_volume(heads["idx"], image, volume, name)
    _require_uniform(heads[image], header)
    if not separate:
        calibration = np.zeros_like(calibration)
    elif calibration.any():
        notes.append(f"{calibration.sum()} calibration lines used for coil maps alone")
    return Lines(lines[image], lines[noise], lines[calibration], tuple(notes))


def samples_of(line: np.void, header: Header) -> tuple[np.ndarray, int, np.ndarray]:
    """Return samples (coil, sample) of a line, the index of zero frequency, and which ones stay.

    Discarded samples count from the start of the line as stored; a reversed line is then turned.

    Raises:
        ScanError: If the line is not as long as its header says.
    """
    head = line["head"]
    coils, count = int(head["active_channels"]), int(head["number_of_samples"])
    data = np.asarray(line["data"], np.float32)
    if data.size != 2 * coils * count or not coils * count:
        raise ScanError(
            f"{header.name}: a line of {coils} coils and {count} samples holds {data.size // 2} "
            "numbers; was the file written to the end?"
        )
    samples = data.view(np.complex64).reshape(coils, count)
    center = int(head["center_sample"])
    kept = np.zeros(count, bool)
    kept[int(head["discard_pre"]) : count - int(head["discard_post"])] = True
    if not kept.any():
        raise ScanError(f"{header.name}: a line discards all of its {count} samples.")
    if int(head["flags"]) >> 21 & 1:
        if int(head["trajectory_dimensions"]):
            raise ScanError(
                f"{header.name}: has reversed lines with a trajectory; store them in the order of "
                "the trajectory, without the flag."
            )
        return samples[:, ::-1], count - 1 - center, kept[::-1]
    return samples, center, kept


def _refused(number: int, label: str, use: str, count: int) -> str:
    if use == COMPRESSED:
        return f"{count} lines are compressed (flag {label}); store them uncompressed."
    if use == SITE:
        return (
            f"{count} lines carry the flag {label}, whose meaning is the site's own; leave these "
            "lines out, or clear the flag of ordinary ones."
        )
    return f"{count} lines carry flag {number}, which ISMRMRD does not define."


def _require_known(heads: np.ndarray, name: str) -> None:
    fields, counters = set(heads.dtype.names or ()), set(heads["idx"].dtype.names or ())
    odd = sorted(fields ^ set(FIELDS)) + sorted(counters ^ set(COUNTERS))
    if odd or (heads["version"] != 1).any():
        found = ", ".join(odd) or f"version {sorted(set(heads['version'].tolist()))}"
        raise ScanError(
            f"{name}: its lines have headers of another version of ISMRMRD ({found}); convert the "
            "file to version 1."
        )


def _of_volume(index: np.ndarray, image: np.ndarray, volume: int | None, name: str) -> np.ndarray:
    """Return the lines of the volume asked for."""
    keys = np.stack([index[counter] for counter in VOLUME], axis=-1)
    found = np.unique(keys[image], axis=0)
    if volume is None and len(found) > 1:
        varying = [c for c, column in zip(VOLUME, found.T, strict=True) if len(set(column)) > 1]
        raise ScanError(
            f"{name}: holds {len(found)} images a slice ({', '.join(varying)}); choose one with "
            f"--volume 0 to {len(found) - 1}."
        )
    if volume is not None and not 0 <= volume < len(found):
        raise ScanError(f"{name}: has volumes 0 to {len(found) - 1}, not {volume}.")
    return (keys == found[volume or 0]).all(-1)


def _require_uniform(heads: np.ndarray, header: Header) -> None:
    name, index = header.name, heads["idx"]
    partitions, slabs = (np.unique(index[c]) for c in ("kspace_encode_step_2", "slice"))
    if len(partitions) > 1 and (header.trajectory not in CARTESIAN or len(slabs) > 1):
        what = f"{len(slabs)} slabs" if len(slabs) > 1 else header.trajectory
        raise ScanError(
            f"{name}: is 3-D ({len(partitions)} steps of the second phase encoding) and "
            f"{what}; of 3-D scans, Cartesian ones of one slab are read."
        )
    for field in ONE_VALUE:
        values = heads[field]
        exact = values.dtype.kind != "f"
        scale = float(np.abs(values[0]).max()) if field == "sample_time_us" else 1.0
        off = np.abs(values.astype(float) - values[0].astype(float)).max()
        if (values != values[0]).any() if exact else not off <= SAME * scale:
            raise ScanError(f"{name}: {field} differs between the lines of its image.")
    dimensions = int(heads["trajectory_dimensions"][0])
    if header.trajectory in CARTESIAN and dimensions:
        raise ScanError(
            f"{name}: is called Cartesian, but its lines carry a trajectory; bring them to the "
            "grid, and leave the trajectory out."
        )


def one_of_each(
    places: Sequence[tuple[int, ...]], averages: np.ndarray, name: str
) -> tuple[np.ndarray, int]:
    """Choose as many averages of every line as there are of the rarest.

    The mean of n lines has noise of n ** -0.5, the same everywhere only if n is.

    Args:
        places: Slice and step of every line.
        averages: Counter of averages of every line.
        name: File name, for messages.

    Returns:
        Which lines to use, and how many there are of each place.

    Raises:
        ScanError: If lines of one place have one and the same counter.
    """
    order = np.lexsort((averages, *np.asarray(places).T))
    sorted_places = np.asarray(places)[order]
    new = np.ones(len(order), bool)
    new[1:] = (sorted_places[1:] != sorted_places[:-1]).any(-1)
    starts = np.flatnonzero(new)
    again = ~new & (averages[order] == np.roll(averages[order], 1))
    if again.any():
        raise ScanError(
            f"{name}: {again.sum()} lines repeat the slice, phase-encoding step and average of "
            "another; give averages a counter of their own."
        )
    rank = np.arange(len(order)) - starts[np.cumsum(new) - 1]
    fewest = int(np.diff(np.append(starts, len(order))).min())
    chosen = np.zeros(len(order), bool)
    chosen[order] = rank < fewest
    return chosen, fewest
