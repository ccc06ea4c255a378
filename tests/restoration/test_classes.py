"""A restoration asks a prior for the class of every slice, by its height."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.front import SHAPE, SLICES, read, tiny_pipeline, tiny_scan, use_prior
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.restore import restore
from uqrestore.training.volumes import heights


class Classes:
    """A prior that draws images as bright as their class."""

    in_shape = SHAPE

    def __call__(
        self,
        x: Tensor,
        sigma: Tensor,  # noqa: ARG002
        problem: object = None,  # noqa: ARG002
        label: Tensor | None = None,
    ) -> Tensor:
        value = torch.tensor(-1.0) if label is None else label.expand(x.shape[:-3]) / 4 - 0.5
        return value[..., None, None, None].expand(x.shape).to(x)


def pipeline(folder: Path, **method: Any) -> Any:  # noqa: ANN401
    fields = {"name": "conditional", "steps": 2, "sampler": "euler", "project": False, **method}
    return tiny_pipeline(folder, method=fields, baseline=None, components=0)


def test_heights_run_from_the_lowest_to_the_highest_slice_that_shows_much() -> None:
    mask = np.zeros((7, 4, 4), bool)
    mask[1, 0, 0] = mask[2:6] = True
    np.testing.assert_allclose(heights(mask), np.array([-2, -1, 0, 1, 2, 3, 4]) / 3, rtol=1e-6)


def test_every_slice_is_drawn_from_its_own_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_prior(monkeypatch, Classes(), classes={"height": 3})
    plan = pipeline(tmp_path, label="height")
    file = restore(plan, tiny_scan(), tmp_path / "a.h5", RunOptions(batch_size=12))
    level = read(file, "posterior/image").reshape(6, SLICES, -1).mean((0, 2))
    wanted = [0, 0, 1, 2, 2]
    assert len(set(level.round(3).tolist())) == 3
    for one, own in zip(level, wanted, strict=True):
        assert one == pytest.approx(level[wanted.index(own)])


def test_a_prior_without_classes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_prior(monkeypatch, Classes())
    with pytest.raises(ValueError, match="was not trained with classes by height"):
        restore(pipeline(tmp_path, label="height"), tiny_scan(), tmp_path / "a.h5")
