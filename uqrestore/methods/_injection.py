"""Attention injection: attention maps of the inversion reused in the generation."""

from contextlib import nullcontext

from torch import Tensor

from uqrestore.diffusion.ddim import DenoiseFn
from uqrestore.diffusion.wrapped import Checked
from uqrestore.networks.attention_tape import AttentionTape


def injecting(denoise: Checked, up: list[float], injection: int) -> tuple[DenoiseFn, DenoiseFn]:
    """Return the denoiser of the inversion, which records attention, and of the generation.

    Args:
        denoise: The prior.
        up: Rising levels of the inversion.
        injection: Number of levels whose attention maps are used again; 0 for none.

    Raises:
        ValueError: If there is no network, as behind a closed-form prior.

    References:
        Liu et al., first version, 2023, section 3.3: softmax maps of the decoder's self-attention,
        last in, first out. arXiv:2305.16965v1
    """
    if injection == 0:
        return denoise, denoise
    if denoise.network is None:
        raise ValueError(
            f"injection puts attention maps into a network, and {type(denoise.inner).__name__} has "
            "none; leave injection out."
        )
    tape, chosen = AttentionTape(denoise.network), set(up[-1 - injection : -1])

    def remember(x: Tensor, sigma: float) -> Tensor:
        with tape.record() if sigma in chosen else nullcontext():
            return denoise(x, sigma)

    def repeat(x: Tensor, sigma: float) -> Tensor:
        with tape.inject() if sigma in chosen else nullcontext():
            return denoise(x, sigma)

    return remember, repeat
