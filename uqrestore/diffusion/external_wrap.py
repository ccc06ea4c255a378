"""Networks of other libraries as priors, from what their schedulers and users declare."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from uqrestore.diffusion.external import ExternalDenoiser, Prediction
from uqrestore.diffusion.external_check import check_network
from uqrestore.diffusion.paths import DiscretePath, FlowPath, NoisePath, make_betas
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.operators.base import Shape

Kind: TypeAlias = Literal["edm", "ddpm", "flow", "monai"]
SCHEDULER_WORDS = {"sample": "x0", "v_prediction": "v"}
"""What schedulers of diffusers and MONAI call a prediction, where it differs."""


class Preconditioned(nn.Module):
    """A raw EDM network ``F(c_in x, c_noise)`` as one of noise-free images, at the time sigma."""

    def __init__(self, network: Callable[..., Tensor], sigma_data: float) -> None:
        super().__init__()
        self.network, self.scalings = network, Preconditioning(sigma_data).scalings

    def forward(self, x: Tensor, sigma: Tensor, *label: Tensor) -> Tensor:
        c_skip, c_out, c_in, c_noise = self.scalings(sigma)
        wide = (-1, *[1] * (x.ndim - 1))
        raw = self.network(c_in.view(wide) * x, c_noise, *label)
        return c_skip.view(wide) * x + c_out.view(wide) * raw


def wrap(
    network: Callable[..., Any],
    kind: Kind,
    in_shape: Shape,
    *,
    schedule: object = None,
    prediction: Prediction | None = None,
    image_range: tuple[float, float] = (-1.0, 1.0),
    sigma_data: float | None = None,
    data_at: Literal[0, 1] | None = None,
    time_scale: float | None = None,
    card: Mapping[str, Any] | None = None,
    check: bool = True,
    examples: Tensor | None = None,
    label: int | None = None,
) -> ExternalDenoiser:
    """Return a network of another library as a prior, once it is found to be what is declared.

    Args:
        network: ``network(images, time)``, with images ``(batch, channel, row, column)``. A module
            is put into evaluation, its weights without gradients.
        kind: ``edm``: ``network(x, sigma)`` returns noise-free images, as in EDM, k-diffusion and
            deepinv, or is the raw ``F`` where ``sigma_data`` is given. ``ddpm``: discrete times,
            as in diffusers. ``flow``: flow matching on the straight path. ``monai``: a
            ``DiffusionModelUNet`` with a DDPM, DDIM or RFlow scheduler of MONAI.
        in_shape: ``(channel, row, column)`` of one image.
        schedule: Noise schedule of ``ddpm``, ``flow`` and ``monai``: a scheduler of diffusers or
            MONAI; or for ``ddpm`` a name (``linear``, ``scaled_linear``, ``cosine``) or all betas.
        prediction: ``x0``, ``epsilon``, ``v`` or, of a flow, ``velocity``: the derivative of the
            noisy image with respect to the network's time. By default that of the scheduler, else
            ``epsilon`` for ``ddpm`` and ``velocity`` for ``flow``.
        image_range: Values of the network's images that -1 and 1 stand for: (0, 1) for deepinv.
        sigma_data: Data scale of the preconditioning of a raw EDM network.
        data_at: Time of the noise-free image of a flow without scheduler, 1 by default.
        time_scale: Number by which the time of a flow is multiplied for the network, 1 by default.
        card: Fields of the card for pipelines, such as ``{"voxel_size": 1.0, "contrast": "T1w"}``.
        check: Call the network on noise and on its own samples, about 40 times, and refuse it
            where it is not what was declared; see :func:`check_network`.
        examples: Some images like those of the training, in the values of the network, which make
            the check decisive.
        label: Class for which a network of classes is checked; it has no draws without one.

    Raises:
        ValueError: If a declaration is missing or contradicts another, or the check fails.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is one of {', '.join(get_args(Kind))}, got {kind!r}.")
    counts_times = _setting(schedule, "num_train_timesteps") is not None
    flow = kind == "flow" or (kind == "monai" and counts_times and not hasattr(schedule, "betas"))
    stated = _stated_prediction(schedule, flow=flow)
    if prediction and stated and prediction != stated:
        raise ValueError(f"prediction={prediction!r} but the scheduler states {stated!r}.")
    needless = {"sigma_data": sigma_data} if kind != "edm" else {"schedule": schedule}
    needless |= {} if flow else {"data_at": data_at, "time_scale": time_scale}
    if wrong := [name for name, value in needless.items() if value is not None]:
        raise ValueError(f"kind={kind!r} has no {wrong[0]}; leave it out.")
    sign = 1
    if kind == "edm":
        path, usual = NoisePath(), "x0"
        network = network if sigma_data is None else Preconditioned(network, sigma_data)
    elif flow:
        path, sign = _flow_path(kind, schedule, data_at, time_scale)
        usual = "velocity"
    else:
        path, usual = DiscretePath(_betas(kind, schedule)), "epsilon"
    chosen = prediction or stated or usual
    denoiser = ExternalDenoiser(
        network,
        in_shape,
        path,
        prediction=chosen,
        image_range=image_range,
        sign=sign,
        label_as="class_labels" if kind == "monai" else None,
        card=card,
    )
    if isinstance(network, nn.Module):
        denoiser.eval().requires_grad_(False)
    if check:
        check_network(denoiser, examples, label=label)
    return denoiser


def _flow_path(
    kind: Kind, scheduler: object, data_at: Literal[0, 1] | None, time_scale: float | None
) -> tuple[FlowPath, int]:
    """Return the path of a flow, and -1 where its network predicts the velocity to the image."""
    if scheduler is None and kind == "flow":
        at: Literal[0, 1] = 1 if data_at is None else data_at
        return FlowPath(at, 1.0 if time_scale is None else time_scale), -1 if at else 1
    times = _setting(scheduler, "num_train_timesteps")
    if times is None:
        raise ValueError(
            f"kind={kind!r} wants schedule, a scheduler with num_train_timesteps, got "
            f"{type(scheduler).__name__}."
        )
    if data_at is not None or time_scale is not None:
        raise ValueError("the scheduler states data_at and time_scale; leave them out.")
    # Both count noise levels from 0 to their number of times; MONAI's networks predict image minus
    # noise, those of diffusers noise minus image.
    return FlowPath(0, float(times)), -1 if kind == "monai" else 1


def _betas(kind: Kind, schedule: object) -> Tensor:
    """Return the betas of a schedule; a last one of 1 (zero terminal SNR) is left out."""
    if isinstance(schedule, str):
        return make_betas(schedule)  # type: ignore[arg-type]
    betas = getattr(schedule, "betas", schedule)
    if not isinstance(betas, Tensor | Sequence):
        raise ValueError(
            f"kind={kind!r} wants schedule: a scheduler with betas, a name such as 'linear', or "
            f"the betas, got {type(schedule).__name__}."
        )
    betas = torch.as_tensor(betas, dtype=torch.float64)
    return betas[:-1] if float(betas[-1]) == 1 else betas


def _stated_prediction(scheduler: object, *, flow: bool) -> Prediction | None:
    """Return what a scheduler states that the network predicts; the v of a flow is a velocity."""
    stated = _setting(scheduler, "prediction_type")
    words = SCHEDULER_WORDS | ({"v_prediction": "velocity"} if flow else {})
    return None if stated is None else words.get(str(stated), str(stated))  # type: ignore


def _setting(scheduler: object, name: str) -> Any:  # noqa: ANN401 - of another library
    if scheduler is None or inspect.isclass(scheduler):
        return None
    return getattr(getattr(scheduler, "config", scheduler), name, None)
