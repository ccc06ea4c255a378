"""What the operator inside the network costs, beside the plain transformer of the same widths.

``python -m tests.benchmarks.cost`` prints the tables of ``docs/benchmarks-cost.md``. One thread,
batches of 16 at 64 x 64. Cases take turns within a round, so that all meet the same state of the
machine; times are those that the thread computed, and each figure is a median over rounds, of
ratios within a round.
"""

import argparse
import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.training.phantoms import random_ellipses
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.losses import denoising_loss
from uqrestore.networks import BACKBONES
from uqrestore.networks._neighborhood import dense_mask
from uqrestore.networks.attention import AttentionSpec, attend
from uqrestore.networks.linear.classes import ClasswiseEstimator
from uqrestore.networks.measurement import Measurement
from uqrestore.operators.random.mixture import DISTRIBUTIONS
from uqrestore.problem import Problem, simulate
from uqrestore.training.data import step_generator
from uqrestore.zoo import load_prior

SIDE, BATCH = 64, 16
WIDTHS = {"patch": 4, "widths": (96, 192), "depths": (1, 4)}
FAMILIES: Mapping[str, Mapping[str, object]] = {
    "patch_inpainting": {},
    "strided_motion_blur": {},
    "random_matrix": {"rows": (128, 128)},
}
FORWARD = {"patch_inpainting": 1.45, "strided_motion_blur": 1.65, "random_matrix": 1.9}
"""Wanted: at most this many times the plain transformer."""
TRAINING = {"patch_inpainting": 0.70, "strided_motion_blur": 0.68, "random_matrix": 0.58}
"""Wanted: at least this share of Palette's samples per second."""
TRAINED, SHIPPED = 18, 64
"""Steps of the linear estimate in the training of the bundled weights, and in their use."""
GUESS = {"guess": SHIPPED, "guess_rank": 256, "guess_classes": 8}
NETWORKS: Mapping[str, Mapping[str, object]] = {
    "as published": {"joint": (True, True), "fdl_input": "raw"},
    "projected": {"joint": (True, True), "fdl_input": "projected"},
    "projected, linear estimate": {"joint": (True, True), "fdl_input": "projected", **GUESS},
}

Call = Callable[[], object]


@dataclass(frozen=True)
class Timed:
    """Computing times of several calls that took turns, in milliseconds, one a round."""

    spent: Mapping[str, Sequence[float]]

    def median(self, name: str) -> float:
        """Return the median time of one."""
        return statistics.median(self.spent[name])

    def ratio(self, name: str, base: str) -> float:
        """Return the median over rounds of one time over another of the same round."""
        pairs = zip(self.spent[name], self.spent[base], strict=True)
        return statistics.median(one / other for one, other in pairs)


def take_turns(calls: Mapping[str, Call], rounds: int) -> Timed:
    """Time calls in turn, in an order that moves on by one every round."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for call in calls.values():
        call()
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.thread_time()
            calls[name]()
            spent[name].append(1e3 * (time.thread_time() - start))
    return Timed(spent)


def network(name: str, **options: object) -> NetworkDenoiser:
    """Build a network of the shipped widths whose output map has left its zero start."""
    with torch.random.fork_rng():
        torch.random.set_rng_state(torch.Generator().manual_seed(0).get_state())
        inner = BACKBONES[name]((1, SIDE, SIDE), **WIDTHS, **options)
        for parameter in inner.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.02)
    return NetworkDenoiser(inner)


def problems() -> dict[str, Problem]:
    """Measure one batch of phantoms by every family."""
    truth = images()
    found = {}
    for number, (name, options) in enumerate(FAMILIES.items()):
        distribution = DISTRIBUTIONS[name]((1, SIDE, SIDE), **options)  # type: ignore[arg-type]
        found[name] = simulate(distribution.draw(step_generator(0, number), BATCH), truth)
    return found


@functools.cache
def images() -> Tensor:
    """Return the batch of phantoms."""
    return random_ellipses(BATCH, SIDE, step_generator(0, 9))


def again(problem: Problem) -> Problem:
    """Return the problem as one not seen before, so that it is laid out anew."""
    return Problem(problem.operator, problem.y, problem.noise_std)


def forward_call(denoiser: NetworkDenoiser, problem: Problem | None, precision: str) -> Call:
    """One call of a network; a problem is laid out once, as a sampler does."""
    x, sigma = 0.5 * images(), torch.tensor(1.0)
    problem = None if problem is None else denoiser.prepare(problem, (BATCH,))

    def call() -> Tensor:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return denoiser(x, sigma, problem)

    return call


def training_call(denoiser: NetworkDenoiser, problem: Problem, precision: str) -> Call:
    """One training step of a network on a batch that is already drawn."""
    truth, sigma = images(), torch.ones(BATCH)
    x_t = truth + torch.randn(truth.shape, generator=step_generator(0, 10))
    adam = torch.optim.Adam(denoiser.parameters(), lr=1e-5)

    def call() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            clean = denoiser(x_t, sigma, again(problem))
        adam.zero_grad()
        denoising_loss(clean, truth, sigma, 0.5).mean().backward()
        adam.step()

    return call


def networks(steps: int) -> dict[str, NetworkDenoiser]:
    """Build the networks; the linear estimate is the bundled one: an unfitted one ends early."""
    made = {name: network("invfussion", **arguments) for name, arguments in NETWORKS.items()}
    shipped = load_prior("brain64-invfussion")
    assert isinstance(shipped, NetworkDenoiser)
    linear_estimate = shipped.network.linear_guess
    assert isinstance(linear_estimate, ClasswiseEstimator)
    linear_estimate.iterations = steps
    made["projected, linear estimate"].network.linear_guess = linear_estimate
    return made


def forward_table(rounds: int, precision: str) -> str:
    """Forward times over the plain transformer's."""
    plain = network("hdit")
    made = networks(SHIPPED)
    rows = []
    for family, problem in problems().items():
        calls = {"plain": forward_call(plain, None, precision)}
        for name, denoiser in made.items():
            calls[name] = forward_call(denoiser, problem, precision)
        calls["layout"] = functools.partial(_layout, made["projected, linear estimate"], problem)
        timed = take_turns(calls, rounds)
        ratios = [timed.ratio(name, "plain") for name in list(calls)[1:]]
        rows.append(
            f"| {_words(family)} | {timed.median('plain'):.0f} ms "
            f"| {' | '.join(f'{ratio:.2f}' for ratio in ratios)} | {FORWARD[family]:.2f} |"
        )
    head = (
        "| operator | plain | as published | projected | projected, linear estimate known "
        "| linear estimate, once a problem | at most |\n|---|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def training_table(rounds: int, precision: str) -> str:
    """Samples per second of training over Palette's."""
    palette = network("invfussion", joint=(False, False))
    made = networks(TRAINED)
    rows = []
    for family, problem in problems().items():
        calls = {"palette": training_call(palette, problem, precision)}
        for name, denoiser in made.items():
            calls[name] = training_call(denoiser, problem, precision)
        timed = take_turns(calls, rounds)
        ratios = " | ".join(f"{timed.ratio('palette', name):.2f}" for name in made)
        speed = BATCH / timed.median("palette") * 1e3
        rows.append(f"| {_words(family)} | {speed:.0f} / s | {ratios} | {TRAINING[family]:.2f} |")
    head = (
        "| operator | Palette | as published | projected | projected, linear estimate "
        "| at least |\n"
        "|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def attention_table(rounds: int) -> str:
    """Neighborhood attention, forward and backward, beside dense masked SDPA and unfold."""
    rows = []
    for side in (16, 24, 32, 48, 64):
        grid, generator = (side, side), step_generator(0, side)
        q, k, v = (torch.randn(4, 3, side**2, 32, generator=generator) for _ in range(3))
        q, k = F.normalize(q, dim=-1) * 3, F.normalize(k, dim=-1) * 3
        leaves = [t.requires_grad_() for t in (q, k, v)]
        mask = dense_mask(grid, 7, 1, q.device)
        ways: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
            "ours": lambda q, k, v, grid=grid: attend(q, k, v, grid, AttentionSpec("neighborhood")),
            "dense": lambda q, k, v, mask=mask: F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, scale=1.0
            ),
            "unfold": lambda q, k, v, grid=grid: unfolded(q, k, v, grid, 7),
        }
        found = {name: _with_gradients(way, leaves) for name, way in ways.items()}
        apart = max(
            float((a - b).abs().max() / b.abs().max())
            for other in ("dense", "unfold")
            for a, b in zip(found["ours"], found[other], strict=True)
        )
        calls = {
            name: functools.partial(_with_gradients, way, leaves) for name, way in ways.items()
        }
        timed = take_turns(calls, rounds)
        faster = min(timed.ratio(other, "ours") for other in ("dense", "unfold"))
        times = " | ".join(f"{timed.median(name):.1f} ms" for name in ways)
        rows.append(f"| {side} x {side} | {times} | {faster:.2f} | {apart:.0e} |")
    head = (
        "| tokens | ours | dense, masked | unfold | times faster than the better "
        "| largest difference, relative |\n|---|---|---|---|---|---|"
    )
    return "\n".join([head, *rows])


def unfolded(q: Tensor, k: Tensor, v: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """Gather the keys of every query by unfold, with windows pushed inwards at the border."""
    b, heads, tokens, e = q.shape
    starts = [(torch.arange(n) - size // 2).clamp(0, n - size) for n in grid]

    def near(t: Tensor) -> Tensor:
        image = t.reshape(b * heads, *grid, e)
        windows = image.unfold(1, size, 1).unfold(2, size, 1)  # (b heads, rows, columns, e, s, s)
        windows = windows[:, starts[0]][:, :, starts[1]]
        return windows.flatten(-2).reshape(b, heads, tokens, e, size**2)

    weights = (q[..., None, :] @ near(k)).softmax(-1)
    return (weights @ near(v).mT)[..., 0, :]


def _with_gradients(
    way: Callable[[Tensor, Tensor, Tensor], Tensor], leaves: list[Tensor]
) -> list[Tensor]:
    out = way(*leaves)
    return [out.detach(), *torch.autograd.grad(out.square().sum() / 2, leaves)]


def _layout(denoiser: NetworkDenoiser, problem: Problem) -> object:
    return Measurement.of(problem, (BATCH,), denoiser.network.linear_guess)  # type: ignore[arg-type]


def _words(family: str) -> str:
    return family.replace("_", " ")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=["forward", "training", "attention"])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = {
        "forward": lambda: forward_table(arguments.rounds, arguments.precision),
        "training": lambda: training_table(arguments.rounds, arguments.precision),
        "attention": lambda: attention_table(arguments.rounds),
    }
    for name, table in tables.items():
        if arguments.only in (None, name):
            print(f"{name}, {arguments.precision}\n\n{table()}\n")  # noqa: T201 - the command's answer


if __name__ == "__main__":
    main()
