"""InvFussion: a diffusion transformer with the degradation operator inside every attention.

The second version of the paper spells it InvFusion; it is the same method.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.backbone import Backbone
from uqrestore.networks.conditioning import Conditioning
from uqrestore.networks.data_consistency import ConsistentLayer
from uqrestore.networks.feature_degradation import FdlInput, check_input
from uqrestore.networks.final_step import FinalStep
from uqrestore.networks.hdit import Hourglass, Level, TransformerLayer, make_levels
from uqrestore.networks.joint_attention import BlindLayer, JointAttention, JointLayer
from uqrestore.networks.layers import FeedForward, zero_init
from uqrestore.networks.linear.build import EstimateOptions, LinearEstimator
from uqrestore.networks.linear.components import linear_components
from uqrestore.networks.linear.stationary import StationaryEstimator
from uqrestore.networks.measurement import Measurement
from uqrestore.problem import Problem


@dataclass(frozen=True, eq=False)
class _Components:
    """Components of a linear model scaled to unit mean square, and their scales."""

    unit: Tensor
    scale: Tensor


class InvFussion(Backbone):
    """Hourglass transformer conditioned on the operator and the measurement.

    ``A^+ y`` joins the input channels; where ``joint`` is set, every layer also sends its
    activations through the operator (:class:`FeatureDegradation`). With ``joint`` off everywhere
    this is the Palette baseline: the same network without the operator. With ``guess``, a linear
    estimate (:mod:`uqrestore.networks.linear.build`) joins the input as well; it depends on the
    operator, so Palette has none.

    Args:
        image_shape: ``(channel, row, column)`` of the images.
        joint: One switch a level, finest first.
        fdl_input: See :class:`uqrestore.networks.joint_attention.JointAttention`; ``consistent``
            puts :class:`uqrestore.networks.data_consistency.ConsistentLayer` in its place, for
            operators whose ``A^+`` has no closed form, such as coils.
        fdl_steps: Steps of the inverse in a ``consistent`` layer.
        final_steps: Steps of the inverse in a last step towards the measurement
            (:class:`uqrestore.networks.final_step.FinalStep`), for which the network also puts out
            how uncertain each pixel is; 0 leaves it out.
        sigma_data: Data scale of the preconditioning, which the last step needs.
        any_size: Make images of any size: positions are in units of ``image_shape``, attention is
            local, images are padded to whole tokens, and the linear estimate has a model that is
            the same everywhere.
        measurement_noise: Whether the noise level of the measurement is an input.
        guess: Conjugate gradient steps of the linear estimate; 0 leaves it out, as published.
        guess_rank: Principal directions of the Gaussian model of the estimate; see
            :class:`uqrestore.networks.linear.build.EstimateOptions`.
        guess_classes: Classes of images, each with a Gaussian model of its own.
        pass_guess: Add the estimate to the output as well, times a factor learned for each noise
            level that starts at zero, so that the network has only to correct it.
        components: Principal components of the posterior to put out after the image, each of the
            channels of the image (:mod:`uqrestore.diffusion.nppc`).
        component_rounds: With a linear estimate, the components of its posterior
            (:func:`linear_components`, so many rounds) join the input, and the output is added to
            them, in units of their standard deviation; 0 leaves them out, as published.

    The other options are those of :class:`uqrestore.networks.hdit.HDiT`.

    References:
        Elata et al., "InvFussion: Bridging Supervised and Zero-shot Diffusion for Inverse
        Problems", 2025. arXiv:2504.01689
    """

    conditional = True

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        patch: int = 4,
        widths: Sequence[int] = (96, 192),
        depths: Sequence[int] = (1, 4),
        attention: Sequence[str] = ("neighborhood:7", "global"),
        joint: Sequence[bool] = (True, True),
        fdl_input: FdlInput | Literal["consistent"] = "raw",
        fdl_steps: int = 2,
        final_steps: int = 0,
        sigma_data: float = 0.5,
        any_size: bool = False,
        measurement_noise: bool = True,
        guess: int = 0,
        guess_rank: int = 0,
        guess_classes: int = 0,
        pass_guess: bool = False,
        components: int = 0,
        component_rounds: int = 0,
        head_width: int = 32,
        labels: int = 0,
        augment_labels: bool = False,
        cond_width: int = 128,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_input(fdl_input, ("consistent",))
        channels, *sides = image_shape
        self.image_shape, self.labels = image_shape, labels
        self.takes_augmentation = augment_labels
        self.any_size, self.inverts = any_size, fdl_input != "consistent"
        levels = make_levels(sides, patch, widths, depths, attention, any_size=any_size)
        self._multiple = levels[-1].pixels
        if len(joint) != len(levels):
            raise ValueError(f"joint has {len(joint)} switches for {len(levels)} levels.")
        switch = dict(zip(levels, joint, strict=True))

        def make_layer(level: Level, index: int) -> nn.Module:
            if not switch[level] or fdl_input == "consistent":
                plain = TransformerLayer(level, index, cond_width, head_width, dropout)
                if not switch[level]:
                    return BlindLayer(plain)
                return ConsistentLayer(level, plain, channels, cond_width, fdl_steps)
            attention = JointAttention(
                level,
                index,
                channels,
                cond_width=cond_width,
                head_width=head_width,
                dropout=dropout,
                fdl_input=fdl_input,
            )
            return JointLayer(attention, FeedForward(level.width, cond_width, dropout=dropout))

        self.conditioning = Conditioning(
            cond_width,
            labels=labels,
            measurement_noise=measurement_noise,
            augment=augment_labels,
        )
        options = EstimateOptions(
            guess, guess_rank, guess_classes, pass_guess, components, component_rounds, any_size
        )
        self.linear_guess = options.make(image_shape)
        self.pass_guess = zero_init(nn.Linear(cond_width, 1)) if pass_guess else None
        self.final = FinalStep(cond_width, final_steps, sigma_data) if final_steps else None
        self.components, self.component_rounds = components, component_rounds
        inputs = (3 if guess else 2) + (components if component_rounds else 0)
        outputs = channels + (1 if final_steps else 0)
        self.trunk = Hourglass(
            inputs * channels, outputs, levels, make_layer, components * channels
        )
        if component_rounds:
            assert self.trunk.more_out is not None
            zero_init(self.trunk.more_out)  # it starts from the linear components

    @property
    def linear_estimate(self) -> LinearEstimator | None:
        return self.linear_guess

    @property
    def linear_components(self) -> Callable[[Problem], Tensor] | None:
        if self.linear_guess is None or not self.component_rounds:
            return None
        assert not isinstance(self.linear_guess, StationaryEstimator)  # which has no components
        return partial(
            linear_components,
            self.linear_guess,
            count=self.components,
            rounds=self.component_rounds,
        )

    def forward(
        self,
        x: Float[Tensor, "batch channel row column"],
        c_noise: Float[Tensor, " batch"],
        label: Tensor | None = None,
        measurement: Measurement | None = None,
        *,
        augment: Tensor | None = None,
    ) -> Float[Tensor, "batch out row column"]:
        """Run the network on noisy images scaled to unit variance; no measurement: the prior."""
        if measurement is None:
            pinv_y, noise_std, estimate = torch.zeros_like(x), None, None
        else:
            pinv_y, noise_std = measurement.pinv_y.to(x.dtype), measurement.noise_std.to(x.dtype)
            estimate = measurement.estimate
        cond = self.conditioning(c_noise, label, noise_std, augment)
        inputs = [x, pinv_y]
        if self.linear_guess is not None:
            mean = self.linear_guess.mean.expand_as(x)
            estimate = mean if estimate is None else estimate.to(x.dtype)
            inputs.append(estimate)
        linear = self._linear_channels(measurement, x) if self.component_rounds else None
        if linear is not None:
            inputs.append(linear.unit)
        out = self._walk(inputs, cond, measurement)
        channels = self.image_shape[0]
        ends = [channels, channels + (self.final is not None)]
        clean, log_std, change = out.tensor_split(ends, dim=1)
        if self.pass_guess is not None:
            clean = clean + self.pass_guess(cond)[..., None, None] * estimate
        if self.final is not None and measurement is not None:
            clean = self._finish((clean, log_std, x, c_noise, cond), measurement)
        if linear is not None:
            change = linear.scale * (linear.unit + change)
        return torch.cat([clean, change], dim=1)

    def _finish(self, inputs: Sequence[Tensor], measurement: Measurement) -> Tensor:
        """Take the last step on images sorted by their kind of operator, and sort them back."""
        assert self.final is not None
        kind = measurement.pinv_y.dtype
        with torch.autocast(inputs[0].device.type, enabled=False):
            given = [t.to(kind) for t in inputs]
            if measurement.order is None:
                return self.final(*given, measurement)
            return self.final(*(t[measurement.order] for t in given), measurement)[
                measurement.places
            ]

    def _linear_channels(self, measurement: Measurement | None, x: Tensor) -> _Components:
        """Lay out the linear components as channels; without a measurement they are zero."""
        rows = x.new_zeros(len(x), self.components, *self.image_shape)
        if measurement is not None and measurement.components is not None:
            rows = measurement.components.to(x.dtype)
        scale = rows.square().mean((2, 3, 4), keepdim=True).sqrt().expand_as(rows)
        unit = rows / scale.clamp(min=torch.finfo(rows.dtype).tiny)
        return _Components(unit.flatten(1, 2), scale.flatten(1, 2))

    def _walk(self, inputs: list[Tensor], cond: Tensor, measurement: Measurement | None) -> Tensor:
        """Run the trunk on images sorted by their kind of operator, and sort them back."""
        x = torch.cat(inputs, dim=1)
        rows, columns = x.shape[-2:]
        if self.any_size:  # whole tokens
            x = F.pad(x, (0, -columns % self._multiple, 0, -rows % self._multiple))
        if measurement is None or measurement.order is None:
            return self.trunk(x, cond, measurement)[..., :rows, :columns]
        order = measurement.order
        return self.trunk(x[order], cond[order], measurement)[measurement.places][
            ..., :rows, :columns
        ]
