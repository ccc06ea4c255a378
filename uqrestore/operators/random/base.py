"""Distributions of random operators, and random numbers for them."""

import abc
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeVar

import torch
from torch import Generator

from uqrestore.operators._checks import Shape
from uqrestore.operators.base import LinearOperator, stack_operators
from uqrestore.operators.mixed import mix

Value = TypeVar("Value")


@dataclass(frozen=True)
class OperatorDistribution(abc.ABC):
    """Distribution of random operators on images of one shape.

    A batch is drawn element by element from one stream, so its first elements are the same
    however many follow.

    Args:
        shape: Image shape ``(channel, row, column)``.
    """

    name: ClassVar[str]

    shape: Shape

    @property
    def space(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        return self.shape[-2], self.shape[-1]

    @abc.abstractmethod
    def draw_one(self, generator: Generator) -> LinearOperator:
        """Draw a single operator."""

    def draw(self, generator: Generator, batch: int) -> LinearOperator:
        """Draw a batch of operators; a :class:`Mixed` one where they cannot be stacked."""
        return self.draw_each([generator] * batch)

    def draw_each(self, generators: Sequence[Generator]) -> LinearOperator:
        """Draw one operator from each stream, in order, as one batch."""
        drawn = [self.draw_one(generator) for generator in generators]
        of_one_kind = len({operator.group_key() for operator in drawn}) == 1
        return stack_operators(drawn) if of_one_kind else mix(drawn)


def uniform(generator: Generator, low: float | int, high: float | int) -> float:
    """Draw a uniform number from ``low`` to ``high``."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def integer(generator: Generator, low: int, high: int) -> int:
    """Draw a whole number from ``low`` to ``high``, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def choice(generator: Generator, values: Sequence[Value]) -> Value:
    """Draw one of several values."""
    return values[integer(generator, 0, len(values) - 1)]
