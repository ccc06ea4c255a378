"""Text for people: hints for misspelt names, and characters that are safe in a terminal."""

import difflib
from collections.abc import Iterable

CUTOFF = 0.6  # of difflib: share of characters that agree


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """Return the hint `` Did you mean 'x'?`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(str(wrong), list(known), n=1, cutoff=CUTOFF)
    return f" Did you mean {near[0]!r}?" if near else ""


def printable(text: object) -> str:
    r"""Return text that neither a terminal nor a page obeys, with ``?`` for what it would.

    Those are control characters, line breaks, marks that turn the direction of writing, and bytes
    that are no text.

    Example:
        >>> printable("red \x1b[31m")
        'red ?[31m'
    """
    return "".join(c if c.isprintable() else "?" for c in str(text))
