"""The laws of the measurements that a conditional network is trained on."""

import dataclasses
import difflib
from collections.abc import Callable

from torch import Generator

from uqrestore.operators.base import LinearOperator, Shape
from uqrestore.operators.families import LAWS, Mixture
from uqrestore.operators.law import Law
from uqrestore.training.config import FamilyConfig, ProblemConfig

DrawOperator = Callable[[int, Generator], LinearOperator]
"""``(count, generator) -> a batch of count operators``."""


def build_law(name: str, said: FamilyConfig, shape: Shape) -> Law:
    """Build the law of one family from its name and options.

    Raises:
        ValueError: If the name or an option is unknown; the nearest is named.
    """
    if name not in LAWS or name == Mixture.name:
        raise ValueError(f"problem.families: {_unknown(name, sorted(set(LAWS) - {Mixture.name}))}")
    kind = LAWS[name]
    known = [field.name for field in dataclasses.fields(kind) if field.name != "shape"]
    for option in said.options:
        if option not in known:
            raise ValueError(f"problem.families.{name}: {_unknown(option, known)}")
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in said.options.items()}
    return kind(shape, **plain)


def operators_of(config: ProblemConfig, shape: Shape) -> DrawOperator:
    """Return what draws one operator for every image of a batch.

    Args:
        config: Families and their shares.
        shape: ``(channel, row, column)`` of the images.
    """
    laws = tuple(build_law(name, said, shape) for name, said in config.families.items())
    mixture = Mixture(shape, laws, tuple(said.share for said in config.families.values()))

    def draw(count: int, generator: Generator) -> LinearOperator:
        return mixture.draw(generator, count)

    return draw


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{name!r} is unknown; it can be {', '.join(known)}.{hint}"
