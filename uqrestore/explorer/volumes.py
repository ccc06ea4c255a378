"""The volume in ipyniivue: mean below, a map above, in millimetres."""

import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore.posterior import export_nifti

if TYPE_CHECKING:
    from uqrestore.explorer.opened import OpenPosterior


def show(posterior: "OpenPosterior", overlay: str) -> Any:  # noqa: ANN401  (a widget)
    """Return the viewer; see :meth:`OpenPosterior.volumes`."""
    try:
        from ipyniivue import NiiVue
    except ImportError as error:
        raise ImportError(
            f"volumes need ipyniivue ({error}); pip install 'uqrestore[notebook]', or export the "
            "maps with uqrestore.posterior.export_nifti."
        ) from None
    # The viewer reads its files again whenever a front end asks, so they live as long as it does.
    folder = tempfile.TemporaryDirectory()
    mean, above = export_nifti(posterior.path, Path(folder.name), maps=("mmse", overlay))
    viewer = NiiVue()
    viewer.load_volumes(
        [
            {"path": str(mean), "colormap": "gray"},
            {"path": str(above), "colormap": "viridis", "opacity": 0.5},
        ]
    )
    weakref.finalize(viewer, folder.cleanup)
    return viewer
