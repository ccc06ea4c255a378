"""Attributes of one DICOM frame: its own functional groups, the shared ones, the file's."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from uqrestore.scans.errors import ScanError, first_line


@contextmanager
def parsing(name: str) -> Iterator[None]:
    """Refuse a file whose attributes cannot be parsed.

    pydicom parses an attribute on first access, and a damaged one may raise almost any exception;
    values that are merely longer than DICOM allows are accepted.

    Args:
        name: Of the file, for the message.

    Raises:
        ScanError: In place of whatever was raised.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ScanError:
        raise
    except Exception as error:
        raise ScanError(
            f"{name}: is damaged DICOM ({first_line(error)}); copy it again."
        ) from error


@dataclass(frozen=True, eq=False)
class FrameHeader:
    """Header of one frame of a classic image or an enhanced multi-frame object.

    An attribute is looked up in the functional groups of the frame first, then in the shared
    ones, then in the file.

    Attributes:
        file: Header of the file (a pydicom ``Dataset``).
        frame: Index of the frame in the file.
    """

    file: Any
    frame: int = 0

    @property
    def enhanced(self) -> bool:
        """Whether the file describes its frames by functional groups."""
        return "PerFrameFunctionalGroupsSequence" in self.file

    def value(self, keyword: str, default: object = None) -> Any:  # noqa: ANN401 - any VR
        """Return the value of an attribute, or ``default`` where it is absent or empty."""
        found = (place.get(keyword) for place in self._places())
        return next((value for value in found if _stated(value)), default)

    def number(self, keyword: str, default: float) -> float:
        """Return the value of a numeric attribute.

        Raises:
            ValueError: If it is not a finite number.
        """
        value = float(self.value(keyword, default))
        if not np.isfinite(value):
            raise ValueError(f"{keyword} is {value}")
        return value

    def numbers(self, keyword: str, count: int) -> np.ndarray:
        """Return the values of an attribute of several numbers.

        Raises:
            ValueError: If it is absent, of another count, or not finite.
        """
        value = self.value(keyword)
        if value is None:
            raise ValueError(f"{keyword} is missing")
        numbers = np.asarray([float(str(v).strip()) for v in value])
        if len(numbers) != count or not np.isfinite(numbers).all():
            raise ValueError(f"{keyword} is {numbers.tolist()}")
        return numbers

    def sequence(self, keyword: str) -> list[Any]:
        """Return the items of a sequence, of the most specific place that has it."""
        found = (place.get(keyword) for place in (*self._groups(), self.file))
        return next((list(value) for value in found if value), [])

    def _groups(self) -> Iterator[Any]:
        k = self.frame
        yield from self.file.get("PerFrameFunctionalGroupsSequence", [])[k : k + 1]
        yield from self.file.get("SharedFunctionalGroupsSequence", [])[:1]

    def _places(self) -> Iterator[Any]:
        for group in self._groups():
            yield from (item.value[0] for item in group if item.VR == "SQ" and item.value)
        yield self.file


def _stated(value: object) -> bool:
    return value is not None and value != "" and not (isinstance(value, list) and not value)
