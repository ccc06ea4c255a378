"""Networks, by the name a pipeline calls them."""

from collections.abc import Mapping

from torch import nn

from uqrestore.networks.hdit import HDiT

BACKBONES: Mapping[str, type[nn.Module]] = {
    "hdit": HDiT,
}

__all__ = ["BACKBONES", "HDiT"]
