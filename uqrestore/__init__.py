"""Restore medical and scientific images, and say rightly how uncertain the result is."""

from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def open(path: Path | str) -> Any:  # noqa: ANN401  (an OpenPosterior, imported when it is needed)
    """Open a posterior file, lazily: xarray, small pictures, an explorer for notebooks.

    Args:
        path: A finished or partial posterior file.

    Returns:
        A :class:`uqrestore.explorer.OpenPosterior`.

    Raises:
        uqrestore.posterior.PosteriorError: If the file is missing or is no posterior file.
    """
    from uqrestore.explorer import open_file

    return open_file(path)
