"""Denoisers: their protocol, plain functions, and preconditioned networks."""

import copy
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks.backbone import Backbone
from uqrestore.networks.measurement import Measurement
from uqrestore.operators.base import Shape
from uqrestore.problem import Problem

if TYPE_CHECKING:
    from uqrestore.diffusion.error_model import ErrorModel


@runtime_checkable
class Denoiser(Protocol):
    """Protocol of denoisers: ``E[x0 | x_t]``, or ``E[x0 | x_t, y]``.

    Trained networks in a :class:`NetworkDenoiser` and the closed-form priors of
    ``uqrestore.priors`` follow it.
    """

    @property
    def in_shape(self) -> Shape:
        """Shape of one image, ``(channel, *space)``."""
        ...

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        """Estimate the clean images behind ``x_t = x0 + sigma * noise``.

        Args:
            x_t: Noisy images, shape ``(*batch, *in_shape)``.
            sigma: Noise level in the units of the image, 0-dim or of shape ``(*batch,)``.
            problem: Measurement to condition on; None for the prior.
            label: Class index, shape ``(*batch,)``.
        """
        ...


class FunctionDenoiser:
    """A plain function ``(x_t, sigma) -> clean images`` as a denoiser.

    Args:
        function: Takes images ``(n, *in_shape)`` and a noise level that broadcasts against them:
            0-dim, or of shape ``(n, 1, ...)``.
        in_shape: Shape of one image, ``(channel, *space)``.
    """

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], in_shape: Shape) -> None:
        self.function = function
        self.in_shape = in_shape

    def __call__(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        if problem is not None or label is not None:
            raise ValueError(
                "a plain function is a prior without measurement or label; choose a zero-shot "
                "method such as 'ddnm', or give a denoiser with in_shape and the arguments "
                "(x_t, sigma, problem, label)."
            )
        sigma = torch.as_tensor(sigma, dtype=x_t.dtype, device=x_t.device)
        if sigma.ndim:
            batch = x_t.shape[: x_t.ndim - len(self.in_shape)]
            sigma = sigma.expand(batch).reshape(-1, *[1] * len(self.in_shape))
        clean = self.function(x_t.reshape(-1, *self.in_shape), sigma)
        return clean.reshape(x_t.shape)


def as_denoiser(prior: Denoiser | Callable[..., Tensor], in_shape: Shape) -> Denoiser:
    """Return a prior as a denoiser; a plain function is wrapped for images of ``in_shape``.

    Raises:
        ValueError: If it is no function, such as the name of a prior.
    """
    if isinstance(prior, Denoiser):
        return prior
    if isinstance(prior, str):
        raise ValueError(
            f"the denoiser is the text {prior!r}; write uqrestore.load_prior({prior!r})."
        )
    if not callable(prior):
        raise ValueError(
            f"a denoiser is a function (x_t, sigma) -> clean images but got "
            f"{type(prior).__name__}; write uqrestore.load_prior(name) for a bundled prior."
        )
    return FunctionDenoiser(prior, in_shape)


def precision(denoiser: Denoiser) -> torch.dtype | None:
    """Return the type of the images of a network; None for denoisers that take any.

    It is that of its weights, but for half precision, which is that of the network alone.
    """
    network = getattr(denoiser, "network", getattr(denoiser, "function", denoiser))
    if not isinstance(network, nn.Module):
        return None
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    return dtype if dtype is None or dtype.itemsize >= 4 else torch.float32


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedProblem(Problem):
    """A problem with the conditioning inputs of one network laid out beside it.

    Made by :meth:`NetworkDenoiser.prepare`. Other denoisers, and images of another batch, use the
    problem itself.

    Args:
        network: The network that the inputs were laid out for.
        batch: Batch shape of the images that they were laid out for.
        measurement: The conditioning inputs.
    """

    network: nn.Module
    batch: Shape
    measurement: Measurement


class NetworkDenoiser(nn.Module):
    """``D(x; sigma) = c_skip x + c_out F(c_in x; ln(sigma) / 4)`` around a backbone.

    Args:
        network: A backbone of ``uqrestore.networks``, or one of your own.
        preconditioning: Scalings of input and output.

    Attributes:
        errors: Covariance of its error on validation images, from the card; None if not measured.
        bf16: Whether calls without a graph are computed in bfloat16, for weights whose card shows
            that it costs nothing.

    Raises:
        TypeError: If the network is no backbone, or has no ``image_shape``.
    """

    network: Backbone

    def __init__(self, network: Backbone, preconditioning: Preconditioning | None = None) -> None:
        super().__init__()
        if not isinstance(network, Backbone) or not hasattr(network, "image_shape"):
            raise TypeError(
                f"{type(network).__name__} cannot be a denoiser: derive it from "
                "uqrestore.networks.Backbone and set self.image_shape = (channel, row, column)."
            )
        self.network = network
        self.preconditioning = preconditioning or Preconditioning()
        self.errors: ErrorModel | None = None
        self.bf16 = False

    @property
    def in_shape(self) -> Shape:
        return tuple(self.network.image_shape)

    @property
    def components(self) -> int:
        """Number of principal components of the posterior that the network predicts."""
        return self.network.components

    def forward(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
    ) -> Tensor:
        return self.with_components(x_t, sigma, problem, label)[0]

    def with_components(
        self,
        x_t: Tensor,
        sigma: Tensor,
        problem: Problem | None = None,
        label: Tensor | None = None,
        augment: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return clean images, and the raw components ``(*batch, component, *in_shape)``.

        Args:
            x_t: Noisy images, shape ``(*batch, *in_shape)``.
            sigma: Noise level in the units of the image, 0-dim or of shape ``(*batch,)``.
            problem: Measurement to condition on; None for the prior.
            label: Class index, shape ``(*batch,)``.
            augment: Parameters of the augmentation of training images, ``(*batch, 9)``.
        """
        batch = tuple(x_t.shape[: x_t.ndim - 3])
        given = [] if problem is None else [self._measurement(problem, batch)]
        if tuple(x_t.shape[-3:]) != self.in_shape:
            raise ValueError(
                f"the network makes images of shape {self.in_shape} but was given x_t of shape "
                f"{tuple(x_t.shape)}; its last three sizes must be those of an image."
            )
        x = x_t.reshape(-1, *self.in_shape)
        sigma = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        sigma = sigma.expand(batch).reshape(-1)
        c_skip, c_out, c_in, c_noise = self.preconditioning.scalings(sigma)
        if label is not None:
            label = label.expand(batch).reshape(-1)
        centre = self._centre(x, given)
        about, wide = x - centre, (-1, 1, 1, 1)
        scaled = centre + c_in.reshape(wide) * about
        more = {} if augment is None else {"augment": augment.reshape(len(x), -1)}
        reduced = self.bf16 and x.dtype == torch.float32 and not torch.is_grad_enabled()
        # Training may have switched autocast on: it is not switched off where it is not needed.
        reduce = torch.autocast(x.device.type, torch.bfloat16) if reduced else nullcontext()
        with reduce:
            out = self.network(scaled, c_noise, label, *given, **more)
        raw, further = out.to(x.dtype).tensor_split([self.in_shape[0]], dim=1)
        clean = centre + c_skip.reshape(wide) * about + c_out.reshape(wide) * raw
        components = further.reshape(*batch, self.components, *self.in_shape)
        return clean.reshape(x_t.shape), components

    def _centre(self, x: Tensor, given: Sequence[Measurement]) -> Tensor:
        """Return what the input of the network is relative to: of a bridge, where it starts."""
        bridges = self.preconditioning.kind == "bridge"
        return given[0].pinv_y if bridges and given else x.new_zeros(())

    def resized(self, rows: int, columns: int) -> "NetworkDenoiser":
        """Return a denoiser of another size with the same weights.

        Raises:
            ValueError: If the network makes images of one size alone.
        """
        if not self.network.any_size:
            raise ValueError(
                f"the network makes images of {self.in_shape[1:]} pixels alone, not of "
                f"{(rows, columns)}; choose one with any_size, or resample the image."
            )
        other = copy.copy(self)
        other._modules = {**self._modules, "network": copy.copy(self.network)}
        other.network.image_shape = (self.in_shape[0], rows, columns)
        return other

    def prepare(self, problem: Problem, batch: Shape) -> "PreparedProblem":
        """Return a problem with its conditioning inputs laid out, for the many calls of a sampler.

        Args:
            problem: The measurement.
            batch: Batch shape of the images of every call, ``(*sample, *problem)``.

        Raises:
            ValueError: If the network takes no measurement, or makes other images.
        """
        return PreparedProblem(
            problem.operator,
            problem.y,
            problem.noise_std,
            network=self.network,
            batch=batch,
            measurement=self._measurement(problem, batch),
        )

    def _measurement(self, problem: Problem, batch: Shape) -> Measurement:
        """Return the conditioning inputs of a problem: those laid out before where they fit."""
        if (
            isinstance(problem, PreparedProblem)
            and problem.network is self.network
            and problem.batch == batch
        ):
            return problem.measurement
        if not self.network.conditional:
            raise ValueError(
                f"{type(self.network).__name__} is a prior, which takes no measurement; choose a "
                "zero-shot method such as 'ddnm', or a conditional network."
            )
        if problem.in_shape != self.in_shape:
            raise ValueError(
                f"the network makes images of shape {self.in_shape} but the operator "
                f"{problem.operator.name} measures images of shape {problem.in_shape}."
            )
        network = self.network
        linear = network.linear_estimate, network.linear_components
        return Measurement.of(problem, batch, *linear, invert=network.inverts)
