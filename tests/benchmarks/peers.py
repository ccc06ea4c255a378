"""Peers that a benchmark may find installed; they are never dependencies."""

import importlib
import importlib.util
from typing import Any

import torch

HAS_DEEPINV = importlib.util.find_spec("deepinv") is not None


def deepinv() -> Any:  # noqa: ANN401 - a module
    """Import deepinv, also where its torchvision was built for another torch.

    That torchvision fails to import because two of its compiled functions are not there. Nobody
    calls them here; it is enough that their names are known.
    """
    try:
        return importlib.import_module("deepinv")
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        arguments = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        for name in ("nms", "qnms"):
            library.define(name + arguments)
        deepinv.library = library  # type: ignore[attr-defined]  # names live as long as it does
        return importlib.import_module("deepinv")
