"""Readable numbers: a power of ten beside the unit, so that 3.5e-05 a.u. reads as 35."""

from dataclasses import dataclass

import numpy as np

SMALLEST, LARGEST = 0.1, 1e5
"""Bright tissue between these is shown in the unit of the file."""
TIMES = "\u00d7"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class DisplayUnit:
    """Unit in which a page shows intensities.

    Attributes:
        factor: Shown number over the number in the file.
        name: Unit with its power of ten.
        note: Sentence on the scale; empty if the unit is that of the file.
    """

    factor: float
    name: str
    note: str

    def number(self, value: float, digits: int = 4) -> str:
        """Write a number of the file without its unit."""
        return number(value * self.factor, digits)

    def text(self, value: float, digits: int = 3) -> str:
        """Write a number of the file with the unit of the page."""
        return f"{self.number(value, digits)} {self.name}"


def display_unit(bright: float, unit: str) -> DisplayUnit:
    """Return the unit in which values up to ``bright`` are readable."""
    size = abs(bright)
    if not np.isfinite(size) or size == 0 or SMALLEST <= size < LARGEST:
        return DisplayUnit(1.0, unit, "")
    power = 3 * int(np.floor(np.log10(size) / 3))
    name = f"{TIMES}10{str(power).translate(_SUPERSCRIPT)} {unit}"
    note = f"Intensities are shown in {name}: 1 on this page is 1e{power} {unit} in the file."
    return DisplayUnit(10.0**-power, name, note)


def number(value: float, digits: int = 4) -> str:
    """Write a number to some significant digits, without an exponent that a reader must decode."""
    if value == 0 or not np.isfinite(value):
        return f"{value:g}"
    power = int(np.floor(np.log10(abs(value))))
    if -5 < power < 9:
        text = f"{value:.{max(0, digits - 1 - power)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value / 10.0**power:.{digits - 1}g} {TIMES}10{str(power).translate(_SUPERSCRIPT)}"


def share_of_variance(share: float | np.floating) -> str:
    """Write the share of the variance along a component."""
    if not np.isfinite(share):
        return "share of the variance not stated"
    if share <= 0:
        return "no variance in the draws left out of its fit"
    if share < 0.005:
        return "below 1 % of variance"
    return f"{100 * share:.0f} % of the variance"
