"""Networks, by the name a pipeline calls them."""

from collections.abc import Mapping

from uqrestore.networks.backbone import Backbone
from uqrestore.networks.hdit import HDiT
from uqrestore.networks.invfussion import InvFussion
from uqrestore.networks.unet import UNet

BACKBONES: Mapping[str, type[Backbone]] = {
    "hdit": HDiT,
    "invfussion": InvFussion,
    "unet": UNet,
}

__all__ = ["BACKBONES", "Backbone", "HDiT", "InvFussion", "UNet"]
