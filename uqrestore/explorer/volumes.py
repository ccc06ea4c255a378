"""The volume in ipyniivue: mean below, a map above, in millimetres."""

import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from uqrestore.posterior import export_nifti

if TYPE_CHECKING:
    from uqrestore.explorer.opened import OpenPosterior


FEW = 3  # slices of which sections along the axis would be strips

Widget = Any  # of ipyniivue, which need not be installed


def show(posterior: "OpenPosterior", overlay: str) -> Widget:
    """Return the viewer; see :meth:`OpenPosterior.volumes`."""
    try:
        from ipyniivue import NiiVue, SliceType
    except ImportError as error:
        raise ImportError(
            f"volumes need ipyniivue ({error}); pip install 'uqrestore[notebook]', or export the "
            "maps with uqrestore.posterior.export_nifti."
        ) from None
    # The viewer reads its files again whenever a front end asks, so they live as long as it does.
    folder = tempfile.TemporaryDirectory()
    mean, above = export_nifti(posterior.path, Path(folder.name), maps=("mmse", overlay))
    viewer: Any = NiiVue()  # its parts are made at run time
    slices, shape = posterior.slices, posterior.placement.model.shape
    middle = (slices[len(slices) // 2] + 0.5) / shape[2]  # elsewhere nothing may be restored
    viewer.scene.crosshair_pos = [0.5, 0.5, float(middle)]
    if len(slices) <= FEW:
        viewer.set_slice_type(SliceType.AXIAL)
    viewer.load_volumes(
        [
            {"path": str(mean), "colormap": "gray"},
            {"path": str(above), "colormap": "viridis", "opacity": 0.5},
        ]
    )
    weakref.finalize(viewer, folder.cleanup)
    return viewer
