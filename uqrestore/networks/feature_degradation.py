"""The layer that sends activations of a network through the operator and back."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from uqrestore.networks.hdit import Level
from uqrestore.networks.layers import Tokens
from uqrestore.networks.measurement import Measurement, Part

Stack = Float[Tensor, "stack batch channel row column"]
FdlInput = Literal["raw", "norm", "projected"]
"""What the layer is given: see :class:`uqrestore.networks.joint_attention.JointAttention`."""


def check_input(fdl_input: str, also: tuple[str, ...] = ()) -> None:
    """Raise ``ValueError`` unless a network knows what its layers should be given."""
    known = (*get_args(FdlInput), *also)
    if fdl_input not in known:
        raise ValueError(f"fdl_input {fdl_input!r} is unknown here; it can be {', '.join(known)}.")


class FeatureDegradation(nn.Module):
    r"""Feature degradation layer: send activations through the operator and back.

    .. math:: \mathrm{FDL}(h; A, y) = A^+ \, \mathrm{GELU}(L [y; A h] + b)

    Tokens are un-patched into a stack of ``k`` images, each image is measured by ``A``, the real
    measurement joins the stack, a learned map mixes the stack (the same for every measurement),
    and ``A^+`` brings the result back (:meth:`Part.back`: the scaled transpose, where ``A^+`` has
    no closed form).

    As published, un-patching is a mere permutation of the tokens. ``project`` puts a learned
    linear map before it, so that the network chooses what to measure, and lifts the result by
    ``sqrt(n / rank A)``, without which a short measurement of a large image is nearly silent.

    Args:
        level: Width and pixels of the tokens; unless projected, ``width`` must be a multiple of
            ``channels * pixels^2``.
        channels: Channels of the image.
        project: Whether to choose the stack by a learned map.

    Raises:
        ValueError: If the width does not divide; the nearest widths are named.

    References:
        Elata et al., "InvFussion: Bridging Supervised and Zero-shot Diffusion for Inverse
        Problems", 2025, section 3. arXiv:2504.01689
    """

    def __init__(self, level: Level, channels: int, *, project: bool = False) -> None:
        super().__init__()
        area = channels * level.pixels**2
        if not project and (level.width % area or level.width < area):
            low = level.width // area * area
            near = f"{low} and {low + area}" if low else f"{area}"
            raise ValueError(
                f"a feature degradation layer at tokens of {level.pixels} x {level.pixels} pixels "
                f"and {channels} channels needs a width that is a multiple of {area}, got "
                f"{level.width}; the nearest are {near}, or use fdl_input='projected', or switch "
                "it off with joint=False there."
            )
        self.pixels, self.channels = level.pixels, channels
        self.stack = max(level.width // area, 1)
        self.choose = nn.Linear(level.width, self.stack * area, bias=False) if project else None
        self.area = area
        self.mix = nn.Linear(self.stack + 1, self.stack)

    def forward(self, x: Tokens, measurement: Measurement) -> Tokens:
        images = self.to_stack(x if self.choose is None else self.choose(x))
        parts = measurement.parts
        if len(parts) == 1:
            back = self.through(images, parts[0])
        else:
            groups = zip(images.split([p.images for p in parts], dim=1), parts, strict=True)
            back = torch.cat([self.through(own, part) for own, part in groups], dim=1)
        return self.from_stack(back.to(x.dtype))

    def through(self, images: Tensor, part: Part) -> Tensor:
        """Send a stack of images through one kind of operator and back."""
        if part.blank:
            return torch.zeros_like(images)
        measured = part.operator.forward(images.reshape(self.stack, *part.batch, *images.shape[2:]))
        # The map over the stack, y apart from the rest: one long column less to copy.
        of_y, of_stack = self.mix.weight.tensor_split([1], dim=1)
        shift = torch.addcmul(self.mix.bias[:, None], of_y, part.y.reshape(1, -1))
        mixed = F.gelu(torch.addmm(shift, of_stack, measured.reshape(self.stack, -1)))
        back = part.back(mixed.reshape(measured.shape))
        if self.choose is not None:
            back = part.gain * back
        return back.reshape(images.shape)

    def to_stack(self, x: Tokens) -> Stack:
        """Un-patch tokens into a stack of images."""
        return stack_images(x, self.pixels, self.channels)

    def from_stack(self, images: Stack) -> Tokens:
        """Undo :meth:`to_stack`."""
        return stack_tokens(images, self.pixels)


def stack_images(x: Tokens, pixels: int, channels: int) -> Stack:
    """Un-patch tokens ``(nh nw k c)`` into a stack of images; a pure permutation."""
    b, h, w, _ = x.shape
    x = x.reshape(b, h, w, pixels, pixels, -1, channels).permute(5, 0, 6, 1, 3, 2, 4)
    return x.reshape(-1, b, channels, h * pixels, w * pixels)


def stack_tokens(images: Stack, pixels: int) -> Tokens:
    """Undo :func:`stack_images`."""
    k, b, c, rows, columns = images.shape
    p, h, w = pixels, rows // pixels, columns // pixels
    x = images.reshape(k, b, c, h, p, w, p).permute(1, 3, 5, 4, 6, 0, 2)
    return x.reshape(b, h, w, p * p * k * c)
