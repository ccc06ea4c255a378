"""Record the attention maps of one network call and put them into another."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from uqrestore.networks.attention import SelfAttention

Maps = list[Tensor]


class AttentionTape:
    """A stack of softmax attention maps: pushed while recording, popped while injecting.

    One entry holds the maps of all chosen layers of one network call. Injection replaces the
    softmax of queries and keys by the recorded map; the values stay those of the running call
    (Liu et al., "Accelerating Diffusion Models for Inverse Problems through Shortcut Sampling",
    first version, 2023. arXiv:2305.16965).

    Args:
        model: A denoiser or network with attention: ours, or MONAI's ``DiffusionModelUNet``.
        layers: Attention layers to use; by default those on the way up (and, of an hourglass, the
            second half of its middle level), where content is decided rather than read.

    Raises:
        ValueError: If there is no attention layer to record.
    """

    def __init__(self, model: nn.Module, layers: Sequence[nn.Module] | None = None) -> None:
        self.layers = list(layers) if layers is not None else decoder_attention(model)
        if not self.layers:
            raise ValueError(
                f"{type(model).__name__} has no self-attention on its way up; name the layers."
            )
        self._stack: list[Maps] = []

    def __len__(self) -> int:
        """Return the number of calls recorded and not yet injected."""
        return len(self._stack)

    @contextmanager
    def record(self) -> Iterator[None]:
        """Push the maps of the one network call made inside the block."""
        maps: Maps = []

        def keep(_: int, found: Tensor) -> Tensor:
            maps.append(found.detach())
            return found

        with self._exchanging(keep):
            yield
        if len(maps) != len(self.layers):
            raise RuntimeError(
                f"recorded {len(maps)} maps of {len(self.layers)} layers; make exactly one network "
                "call inside record()."
            )
        self._stack.append(maps)

    @contextmanager
    def inject(self) -> Iterator[None]:
        """Pop the last entry and use its maps in the one network call made inside the block.

        Raises:
            RuntimeError: If nothing is recorded, or the maps are of another shape.
        """
        if not self._stack:
            raise RuntimeError("the attention tape is empty: record a call for each injection.")
        maps = self._stack.pop()

        def replace(layer: int, found: Tensor) -> Tensor:
            if maps[layer].shape != found.shape:
                raise RuntimeError(
                    f"a map of shape {tuple(maps[layer].shape)} cannot replace one of "
                    f"{tuple(found.shape)}; inject into a call of the same batch and image size."
                )
            return maps[layer]

        with self._exchanging(replace):
            yield

    @contextmanager
    def _exchanging(self, exchange: Callable[[int, Tensor], Tensor]) -> Iterator[None]:
        undo = [_attach(layer, index, exchange) for index, layer in enumerate(self.layers)]
        try:
            yield
        finally:
            for detach in undo:
                detach()


def _attach(
    layer: nn.Module, index: int, exchange: Callable[[int, Tensor], Tensor]
) -> Callable[[], None]:
    """Let ``exchange`` see and replace the map of a layer; return what undoes it."""
    if isinstance(layer, SelfAttention):
        layer.exchange = lambda found: exchange(index, found)

        def detach() -> None:
            layer.exchange = None

        return detach
    # MONAI's attention block passes its softmax through a dropout layer of this name.
    dropout = getattr(layer, "drop_weights", None)
    if not isinstance(dropout, nn.Module) or getattr(layer, "use_flash_attention", False):
        raise ValueError(
            f"{type(layer).__name__} does not show its attention map; use layers of uqrestore, or "
            "of MONAI with use_flash_attention=False."
        )

    def seen(_: nn.Module, __: tuple[Tensor, ...], found: Tensor) -> Tensor:
        return exchange(index, found)

    return dropout.register_forward_hook(seen).remove


def decoder_attention(model: nn.Module) -> list[nn.Module]:
    """Return the self-attention layers on the way up of an hourglass or a U-Net, in order."""
    network = getattr(model, "network", model)
    trunk = getattr(network, "trunk", None)
    if trunk is not None:
        middle = list(trunk.middle)
        parts = [*middle[len(middle) // 2 :], *reversed(trunk.up)]
        return [m for part in parts for m in part.modules() if isinstance(m, SelfAttention)]
    inner = getattr(network, "unet", network)
    parts = getattr(inner, "up_blocks", [])
    return [m for part in parts for m in part.modules() if hasattr(m, "drop_weights")]
