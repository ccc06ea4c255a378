"""Errors of reading a scan."""

from uqrestore._shared.text import printable


class ScanError(ValueError):
    """A scan that cannot be read or does not fit the model: one line, with the file and a remedy.

    Names and header texts come from strangers, so that whatever a terminal could obey (control
    characters, marks that reverse the writing direction) is shown as ``?``.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def first_line(error: BaseException) -> str:
    """Return the first line of an error of a library, or its type where it has no text."""
    return (str(error) or type(error).__name__).splitlines()[0]
