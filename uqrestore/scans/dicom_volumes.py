"""Volumes of a DICOM series with several images at every place, separated by attributes."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from uqrestore.scans.dicom_frames import SAME_IMAGE, Frame
from uqrestore.scans.errors import ScanError

SAME_PLACE_MM = 0.01  # decimal strings are rounded, most coarsely to hundredths
SAME_NUMBER = 0.01  # relative; scanners round an echo time differently from slice to slice

Stacks = list[list[Frame]]
"""The images at every place."""


def one_volume(frames: list[Frame], volume: int | None) -> tuple[list[Frame], str]:
    """Choose one image at every place.

    Args:
        frames: Parallel images, sorted along their normal.
        volume: Which volume, from 0; None where there must be one alone.

    Returns:
        The images of the volume, and a note on the choice; empty if there was none.

    Raises:
        ScanError: If there are several volumes and ``volume`` does not choose one, no attribute
            separates them, or the images of the volume are of different kinds.
    """
    stacks = _by_place(frames)
    counts = {len(stack) for stack in stacks}
    many = max(stacks, key=len)
    if counts == {1}:
        if volume not in (None, 0):
            raise ScanError(f"the series holds one volume, so volume={volume} does not exist.")
        return _comparable(frames), ""
    if len(counts) > 1:
        raise ScanError(
            f"{many[0].file} and {many[1].file} lie at the same place, other places have fewer "
            "images; export one volume."
        )
    volumes, names = _volumes(stacks)
    which = f"separated by {', '.join(names)}"
    if volume is None or not 0 <= volume < len(volumes):
        raise ScanError(
            f"the series holds {len(volumes)} volumes ({many[0].file} and {many[1].file} lie at "
            f"the same place; {which}); choose one by --volume, from 0 to {len(volumes) - 1}."
        )
    return _comparable(volumes[volume]), f"volume {volume} of {len(volumes)}, {which}"


def _by_place(frames: list[Frame]) -> Stacks:
    stacks: Stacks = []
    for frame in frames:
        if stacks and abs(frame.depth - stacks[-1][0].depth) <= SAME_PLACE_MM:
            stacks[-1].append(frame)
        else:
            stacks.append([frame])
    return stacks


def _volumes(stacks: Stacks) -> tuple[list[list[Frame]], list[str]]:
    """Return the volumes, sorted by the attributes that separate them, and those attributes.

    An attribute separates volumes if it takes the same values at every place; one that varies
    from slice to slice (a time, an instance number) does not. Images that no such attribute
    separates are separated by their number, if that runs regularly.
    """
    names = [name for name in _stated(stacks) if _same_values(stacks, [name])]
    names = [name for name in names if len({f.attributes.get(name) for f in stacks[0]}) > 1]
    if not _same_values(stacks, names):
        raise ScanError(
            f"the images at {stacks[0][0].file} and elsewhere combine {', '.join(names)} "
            "differently, so their volumes cannot be separated; export one volume."
        )
    volumes: list[list[Frame]] = []
    numbered = False
    for key, count in sorted(Counter(_key(f, names) for f in stacks[0]).items()):
        group = [[f for f in stack if _key(f, names) == key] for stack in stacks]
        if count > 1:
            numbered, group = True, _numbered(group, names)
        volumes += [[stack[i] for stack in group] for i in range(count)]
    return volumes, [*names, *(["InstanceNumber"] if numbered else [])]


def _stated(stacks: Stacks) -> list[str]:
    return list(dict.fromkeys(name for stack in stacks for f in stack for name in f.attributes))


def _same_values(stacks: Stacks, names: Sequence[str]) -> bool:
    values = [Counter(_key(frame, names) for frame in stack) for stack in stacks]
    return all(value == values[0] for value in values)


def _key(frame: Frame, names: Sequence[str]) -> tuple[tuple[int, float, str], ...]:
    """Return sortable values of attributes: absent ones first, then numbers, then texts."""
    return tuple(_sortable(frame.attributes.get(name)) for name in names)


def _sortable(text: str | None) -> tuple[int, float, str]:
    if text is None:
        return (0, 0.0, "")
    number = _number(text)
    return (2, 0.0, text) if number is None else (1, float(f"{number:.5g}"), "")


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _numbered(stacks: Stacks, names: Sequence[str]) -> Stacks:
    """Sort the images at every place by number, if the numbers run volume by volume or by place.

    Raises:
        ScanError: If they do not, so that the number says nothing about the volume.
    """
    place = {id(frame): i for i, stack in enumerate(stacks) for frame in stack}
    orders = [frame.order for stack in stacks for frame in stack]
    first, second = stacks[0][:2]
    unique = None not in orders and len(set(orders)) == len(orders)
    if unique:
        frames = sorted((f for stack in stacks for f in stack), key=lambda f: f.order or (0, 0))
        places = np.asarray([place[id(frame)] for frame in frames])
        by_volume = places.reshape(len(stacks[0]), len(stacks))
        by_place = places.reshape(len(stacks), len(stacks[0]))
        regular = all(len(set(row.tolist())) == len(stacks) for row in by_volume)
        if regular or all(len(set(row.tolist())) == 1 for row in by_place):
            return [sorted(stack, key=lambda f: f.order or (0, 0)) for stack in stacks]
    beside = f" beside {', '.join(names)}" if names else ""
    fault = "in no order" if unique else "missing or not unique"
    raise ScanError(
        f"{first.file} and {second.file} lie at the same place, and no attribute separates their "
        f"volumes{beside}: InstanceNumber is {fault}; "
        "put each volume in a folder of its own, or remove the copies."
    )


def _comparable(frames: list[Frame]) -> list[Frame]:
    """Return the images of one volume, once they are of one kind and one scale.

    Raises:
        ScanError: If they are not; two files are named.
    """
    first = frames[0]
    for frame in frames[1:]:
        for name in SAME_IMAGE:
            ours, theirs = first.attributes.get(name), frame.attributes.get(name)
            if ours is not None and theirs is not None and not _equal(ours, theirs):
                raise ScanError(
                    f"{first.file} and {frame.file} are slices of different images: {name} is "
                    f"{ours} and {theirs}; put each image in a folder of its own."
                )
        if frame.pixels.unit != first.pixels.unit:
            raise ScanError(
                f"{first.file} is in {first.pixels.unit} but {frame.file} in {frame.pixels.unit}; "
                "export slices of one unit."
            )
        factors = (first.pixels.quantitative, frame.pixels.quantitative)
        if None not in factors and not np.isclose(*factors, rtol=1e-3):  # type: ignore[arg-type]
            raise ScanError(
                f"{first.file} and {frame.file} are scaled differently: their real-world values "
                f"are {factors[0]:.6g} and {factors[1]:.6g} times the rescaled ones; export the "
                "real-world values."
            )
    return frames


def _equal(ours: str, theirs: str) -> bool:
    numbers = _number(ours), _number(theirs)
    if None in numbers:
        return ours == theirs
    return bool(np.isclose(*numbers, rtol=SAME_NUMBER))  # type: ignore[arg-type]
