"""Zero-shot restoration methods, by the name a pipeline calls them."""

from collections.abc import Mapping

from uqrestore.methods.ddnm import ddnm
from uqrestore.methods.entry import Method
from uqrestore.methods.ssd import ssd

METHODS: Mapping[str, Method] = {
    "ddnm": ddnm,
    "ssd": ssd,
}

__all__ = ["METHODS", "Method", "ddnm", "ssd"]
