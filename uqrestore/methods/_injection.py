"""Attention injection: the maps of one pass of the network, used again in another."""

from contextlib import nullcontext

from torch import Tensor, nn

from uqrestore.diffusion.ddim import DenoiseFn
from uqrestore.diffusion.denoiser import Denoiser
from uqrestore.networks.attention_tape import AttentionTape


def injecting(
    denoise: DenoiseFn, denoiser: Denoiser, up: list[float], injection: int
) -> tuple[DenoiseFn, DenoiseFn]:
    """Return the denoiser of the inversion, which records attention, and of the generation.

    References:
        Liu et al., first version, 2023, section 3.3: softmax maps of the decoder's self-attention,
        last in, first out. arXiv:2305.16965v1
    """
    if injection == 0:
        return denoise, denoise
    tape, chosen = AttentionTape(network_of(denoiser)), set(up[-1 - injection : -1])

    def remember(x: Tensor, sigma: float) -> Tensor:
        with tape.record() if sigma in chosen else nullcontext():
            return denoise(x, sigma)

    def repeat(x: Tensor, sigma: float) -> Tensor:
        with tape.inject() if sigma in chosen else nullcontext():
            return denoise(x, sigma)

    return remember, repeat


def network_of(denoiser: object) -> nn.Module:
    """Return the network behind a denoiser that may be wrapped, to count or to label.

    Raises:
        ValueError: If there is none, as behind a closed-form prior.
    """
    inner = denoiser
    while not isinstance(inner, nn.Module):
        known = vars(inner)
        inner = known.get("denoiser", known.get("_denoiser"))
        if inner is None:
            raise ValueError(
                f"injection puts attention maps into a network, and {type(denoiser).__name__} has "
                "none; leave injection out."
            )
    return inner
