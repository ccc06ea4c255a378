"""Phase of the image of a posterior file."""

from typing import TYPE_CHECKING

import numpy as np

from uqrestore.posterior.open import read_operator

if TYPE_CHECKING:
    import xarray as xr

    from uqrestore.posterior.view import PosteriorFile


def phase_of(file: "PosteriorFile") -> "xr.DataArray | None":
    """Return the phase; see :attr:`PosteriorFile.phase`."""
    import xarray as xr

    from uqrestore.operators import Composed, LinearOperator

    if file.complex_image:
        mean = file.variable("mmse")
        angle = xr.apply_ufunc(np.arctan2, mean.isel(channel=1), mean.isel(channel=0))
        return angle.rename("phase").assign_attrs(units="rad")
    operator = read_operator(file.path)
    if not isinstance(operator, LinearOperator):
        return None
    parts = operator.parts if isinstance(operator, Composed) else (operator,)
    phase = getattr(parts[0], "phase", None)
    if phase is None:
        return None
    phase = phase.unsqueeze(-3)
    for part in parts[1:]:  # the image is a part of the measured field of view
        phase = part.adjoint(phase)
    axes = {name: file[name].values for name in ("z", "y", "x")}
    values = np.broadcast_to(phase.squeeze(-3).numpy(), [len(v) for v in axes.values()])
    return xr.DataArray(values, axes, list(axes), "phase", {"units": "rad"})
