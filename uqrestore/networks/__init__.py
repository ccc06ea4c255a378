"""Networks, by the name a pipeline calls them."""

from collections.abc import Mapping

from torch import nn

from uqrestore.networks.hdit import HDiT
from uqrestore.networks.invfussion import InvFussion
from uqrestore.networks.unet import UNet

BACKBONES: Mapping[str, type[nn.Module]] = {
    "hdit": HDiT,
    "invfussion": InvFussion,
    "unet": UNet,
}

__all__ = ["BACKBONES", "HDiT", "InvFussion", "UNet"]
