"""InvFussion beside what it competes with, on slices of people whom no training saw.

``python -m tests.benchmarks.invfussion DATA`` writes ``docs/benchmarks-invfussion.md``; DATA is the
folder of the training data, of which only the group ``test`` is read.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.benchmarks.brains import real_validation_slices
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import PosteriorMoments, posterior_moments
from uqrestore.methods import METHODS
from uqrestore.noise import SampleNoise
from uqrestore.operators.random.mixture import DISTRIBUTIONS
from uqrestore.priors import LowRankGaussian
from uqrestore.problem import Problem, simulate
from uqrestore.training.config import DataConfig
from uqrestore.training.data import Images, step_generator, to_network
from uqrestore.training.stored import load_slices
from uqrestore.training.validation import image_psnr
from uqrestore.zoo import load_card, load_prior

SHAPE = (1, 64, 64)
FAMILIES: Mapping[str, Mapping[str, object]] = {
    "random_matrix": {"rows": (32, 128)},
    "strided_motion_blur": {},
    "patch_inpainting": {},
    "cartesian_kspace": {},
    "box_outpainting": {},
}
"""Problems by family; no training saw the last."""
FEW = 8
"""Slices for what needs many calls."""
DRAWS = 8
ZERO_SHOT: Sequence[tuple[str, Mapping[str, object], str]] = (
    ("ddnm", {"steps": 50}, "50"),
    ("ssd", {"steps": 30}, "29"),
    ("ddrm", {"steps": 20}, "20"),
    ("diffpir", {"steps": 50}, "50"),
    ("local_gaussian", {}, "13 + 91"),
    ("moment_matching", {}, "22 + 88"),
)
"""Methods of the unconditional prior, their options and calls, the second of products."""
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-invfussion.md"


def psnr(estimate: Images, truth: Images) -> np.ndarray:
    """Return the PSNR of each image, as validation measures it."""
    return image_psnr(estimate, truth).numpy()


def measure(family: str, truth: Images, noise_std: float = 0.0) -> Problem:
    """Measure every image by an operator of its own, the same in every run."""
    generator = step_generator(7, sorted(FAMILIES).index(family))
    distribution = DISTRIBUTIONS[family](SHAPE, **FAMILIES[family])  # type: ignore[arg-type]
    noise = SampleNoise(1, [0], slices=range(len(truth)))
    operator = distribution.draw(generator, len(truth))
    return simulate(operator, truth, noise_std=noise_std, noise=noise)


def hides_something(problem: Problem, count: int) -> Tensor:
    """Indicator of the problems whose operator does not measure the whole image."""
    ones = torch.ones(count, *SHAPE)
    return (problem.operator.row_part(ones) - ones).abs().flatten(1).amax(1) > 1e-3


def ask(denoiser: NetworkDenoiser, problem: Problem, count: int) -> PosteriorMoments:
    """One call for every problem."""
    return posterior_moments(denoiser, problem, SampleNoise(0, [0], slices=range(count)))


def linear_means(prior: LowRankGaussian, problem: Problem, count: int) -> Tensor:
    """Return exact posterior means under a Gaussian prior."""
    one = (problem.select(i) for i in range(count))
    return torch.stack([prior.posterior(p).mean for p in one]).float()


def draws_of(name: str, problem: Problem, prior: NetworkDenoiser, **options: object) -> Tensor:
    """Draw a few samples of a few problems."""
    noise = SampleNoise(0, range(DRAWS), slices=range(FEW))
    with torch.no_grad():
        return METHODS[name](problem, prior, noise, **options)


def summary(values: np.ndarray) -> tuple[float, float]:
    """Return mean and standard error."""
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))


def component_scores(moments: PosteriorMoments, truth: Images) -> dict[str, np.ndarray]:
    """Return ``z^2`` along each component over slices, and the share of squared error captured."""
    error = truth - moments.mean
    along = torch.einsum("bkchw,bchw->bk", moments.directions, error)
    energy = error.flatten(1).square().sum(1)
    seen = energy > 1e-6 * energy.mean()
    z = (along / moments.std)[seen]
    captured = along.square()[seen].sum(0).cumsum(0) / energy[seen].sum()
    return {"z2": z.square().mean(0).numpy(), "captured": captured.numpy()}


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--slices", type=int, default=128)
    arguments = parser.parse_args()
    config = DataConfig(files=("brain_synth_64.h5",), shape=SHAPE)
    test = to_network(load_slices(arguments.data, config, "test"))
    truth = test[torch.linspace(0, len(test) - 1, arguments.slices).long()]
    text = report(truth, real_validation_slices(arguments.data))
    PAGE.write_text(text)
    print(text)  # noqa: T201 - the command's answer


def report(images: Images, real: Images) -> str:
    """Return the page of synthetic slices and of those of a real scan."""
    networks = {n: _network(n) for n in ("brain64-palette", "brain64-invfussion", "brain64-nppc")}
    linear, plain = load_prior("brain64-gaussian"), _network("brain64-prior")
    assert isinstance(linear, LowRankGaussian)
    tables, component_lines, paired = [], [], []
    for family in FAMILIES:
        problem, truth = _hidden(measure(family, images), images)
        count = len(truth)
        pick = torch.linspace(0, count - 1, FEW).long()
        found: dict[str, tuple[str, np.ndarray]] = {
            "linear MMSE": ("0", psnr(linear_means(linear, problem, count), truth))
        }
        moments = {name: ask(net, problem, count) for name, net in networks.items()}
        for name, one in moments.items():
            found[f"{name}, one call"] = ("1", psnr(one.mean, truth))
        scores = component_scores(moments["brain64-nppc"], truth)
        component_lines.append(
            f"| {family} | {' '.join(f'{v:.2f}' for v in scores['z2'])} "
            f"| {' '.join(f'{v:.2f}' for v in scores['captured'])} |"
        )
        ours, blind = (moments[f"brain64-{name}"].mean for name in ("invfussion", "palette"))
        paired.append(_paired_row(family, psnr(ours, truth), psnr(blind, truth)))
        few, chosen = truth[pick], problem.select(pick)
        samples = {"brain64-invfussion, one call": ours[pick][None]}
        for method, options, calls in ZERO_SHOT:
            draws = draws_of(method, chosen, plain, **options)
            samples[f"{method}, brain64-prior, {calls} calls"] = draws
        samples["conditional, brain64-invfussion, 20 calls"] = draws_of(
            "conditional", chosen, networks["brain64-invfussion"], steps=20, sampler="dpmpp_2m"
        )
        tables += [_table(family, found), _draws_table(samples, few)]
    seen = {
        n: load_card(n).extra["samples_in_all"] for n in ("brain64-palette", "brain64-invfussion")
    }
    head = HEAD.format(
        count=len(images), few=FEW, draws=DRAWS, blind=seen["brain64-palette"],
        ours=seen["brain64-invfussion"], paired="\n".join(paired),
    )  # fmt: skip
    tables += [RIVALS, real_scan(real, linear, networks)]
    return "\n\n".join([head, *tables, COMPONENTS + "\n".join(component_lines)]) + "\n"


def real_scan(
    real: Images, linear: LowRankGaussian, networks: Mapping[str, NetworkDenoiser]
) -> str:
    """Return a table of one call on the slices of a real scan."""
    lines = [f"| measured by | linear MMSE | {' | '.join(networks)} |"]
    lines.append("|---|" + "---|" * (1 + len(networks)))
    for family in FAMILIES:
        problem, truth = _hidden(measure(family, real), real)
        base = psnr(linear_means(linear, problem, len(truth)), truth)
        cells = [f"{base.mean():.2f}"]
        for network in networks.values():
            found = psnr(ask(network, problem, len(truth)).mean, truth)
            gain, error = summary(found - base)
            cells.append(f"{found.mean():.2f} ({gain:+.2f} +- {error:.2f})")
        lines.append(f"| {family.replace('_', ' ')} | {' | '.join(cells)} |")
    return REAL.format(count=len(real)) + "\n".join(lines)


def _hidden(problem: Problem, images: Images) -> tuple[Problem, Images]:
    """Return the problems in which something is hidden, and their images."""
    chosen = hides_something(problem, len(images)).nonzero()[:, 0]
    return problem.select(chosen), images[chosen]


def _network(name: str) -> NetworkDenoiser:
    found = load_prior(name)
    assert isinstance(found, NetworkDenoiser)
    return found


def _paired_row(family: str, ours: np.ndarray, blind: np.ndarray) -> str:
    gain, error = summary(ours - blind)
    return (
        f"| {family.replace('_', ' ')} | {blind.mean():.2f} | {ours.mean():.2f} "
        f"| {gain:+.2f} +- {error:.2f} |"
    )


def _table(family: str, found: Mapping[str, tuple[str, np.ndarray]]) -> str:
    base = found["linear MMSE"][1]
    rows = []
    for name, (calls, values) in found.items():
        mean, error = summary(values)
        gain, gain_error = summary(values - base)
        rows.append(
            f"| {name} | {calls} | {mean:.2f} +- {error:.2f} | {gain:+.2f} +- {gain_error:.2f} |"
        )
    head = (
        "| estimate of the mean | calls | PSNR, dB | above linear MMSE, paired |\n|---|---|---|---|"
    )
    return f"## {family.replace('_', ' ')}\n\n{head}\n" + "\n".join(rows)


def _draws_table(samples: Mapping[str, Tensor], truth: Images) -> str:
    rows = []
    for name, draws in samples.items():
        mean = psnr(draws.mean(0), truth).mean()
        if len(draws) == 1:
            rows.append(f"| {name} | {mean:.2f} | | |")
            continue
        one = np.mean([psnr(draw, truth).mean() for draw in draws])
        error = (draws.mean(0) - truth).square().mean()
        spread = draws.var(0).mean() * (1 + 1 / len(draws))
        rows.append(f"| {name} | {mean:.2f} | {one:.2f} | {float(spread / error):.2f} |")
    head = (
        f"| sampler, {FEW} slices x {DRAWS} draws | PSNR of the mean | of a draw | variance over "
        "squared error (1 is right) |\n|---|---|---|---|"
    )
    return head + "\n" + "\n".join(rows)


HEAD = """# InvFussion, measured

Made by `python -m tests.benchmarks.invfussion DATA` with the weights that ship, on {count} slices
of two people whom no training saw (synthetic T1 contrast, 64 x 64 at 3 mm, noise-free). Slices of
one person are not independent: standard errors are over slices, and do not extend to new people.
Every estimate meets the same operators, another for each slice; masks of patches that hide
nothing, one in seven, are left out. Box out-painting was never shown to any network. Samples are
of {few} slices, {draws} draws each.

`brain64-palette` is the same network without the operator, blind to all but `A^+ y`, trained on
the same slices and operators from the same prior ({blind} slices; `brain64-invfussion` {ours}).
InvFussion here has a linear estimate in its input and output, which the paper's has not, so the
difference is due to the whole design and not to the attention alone. One call each:

| measured by | Palette, dB | InvFussion, dB | paired difference |
|---|---|---|---|
{paired}

The tables show: InvFussion is ahead of Palette by 3.9 dB on dense matrices, 2.9 on k-space, 1.3 on
patches, 1.0 on blur, and by 1.7 on boxes, which no training showed to either; one call is above the
linear MMSE on all five, by 0.4 to 3.0 dB. Beside the zero-shot methods, on the same slices: one
call is above the mean of 8 draws of each of them on matrices (by 0.3 dB or more) and on blur (by
0.3 or more, but equal to `local_gaussian`, which takes some hundred calls), and on k-space 0.3 dB
below DDNM. The mean of its draws is ahead of DDNM's on every operator in fewer calls: by 4.8, 0.4,
0.9, 1.4 and 2.1 dB. The variance of its draws is right to 8 % on matrices, blur and k-space; on
patches and boxes it is 21 and 28 % too small. The strongest methods without training for the
operator, `local_gaussian` and `moment_matching`, are in the tables of matrices and blur; on the
bundled scan `local_gaussian` is ahead of InvFussion on every operator but super-resolution
([below](#the-strongest-rivals)). `brain64-nppc` began from the weights after 224 320 slices.

For the slices after the first 355 072 the output of the network is compared after projection
(`loss: {{project: true}}`), as it is used; Palette was trained without. For the last 65 152 slices,
in two runs whose weights are averaged, the linear estimate has a model that depends on the classes
of images that the measurement leaves possible, and is iterated until it is nearer to the linear
estimate under that model: one call gained 0.62 dB on k-space, 0.31 on blur, 0.2 on matrices and
boxes and 0.08 on patches. [On a real scan](#a-real-scan) one call is ahead of the linear MMSE by
0.3 to 2.3 dB (boxes: 0.1 +- 0.2, no difference), of Palette by 0.8 to 4.1; the last step gained 0.1
to 0.3 dB there, and lost 0.1 on boxes."""

RIVALS = """## The strongest rivals

`uqrestore benchmark` on the bundled scan ([all methods](benchmarks-brain.md)), the same slices,
operators and streams, with `prior: brain64-invfussion` and `conditional` in 20 calls
(`dpmpp_2m`): PSNR of the mean of 8 draws, dB, without noise and with noise of std 0.05. The
unconditional prior serves the others, at 195 and 198 calls.

| operator | noise | slices | InvFussion | local_gaussian | moment_matching | DDNM, 100 calls |
|---|---|---|---|---|---|---|
| in-painting 70 % | 0 | 4 | 21.90 | **22.58** | 22.44 | 21.97 |
| in-painting 70 % | 0.05 | 5 | 21.54 | **22.35** | 22.12 | |
| cartesian 4x | 0 | 4 | 24.02 | **24.98** | 23.63 | 22.64 |
| cartesian 4x | 0.05 | 4 | 22.42 | **23.17** | 22.16 | |
| strided blur | 0 | 4 | 25.56 | **25.75** | 25.60 | 25.55 |
| strided blur | 0.05 | 4 | 19.68 | **21.14** | 21.01 | |
| super-resolution 4x | 0 | 4 | **20.08** | 19.78 | 19.57 | 19.61 |
| super-resolution 4x | 0.05 | 5 | **19.55** | 19.49 | 19.15 | |
| matrix 25 % | 0 | 3 | 25.32 | **28.14** | 27.54 | 26.03 |
| matrix 25 % | 0.05 | 2 | 22.90 | **24.81** | 24.21 | |

`local_gaussian` is ahead of InvFussion by 0.2 to 2.8 dB on all but super-resolution, at ten times
the calls; `moment_matching` is behind InvFussion in k-space and super-resolution. On synthetic
slices, which resemble its training data, InvFussion is 0.15 dB ahead of `local_gaussian` on
matrices and equal on blur (tables above). Choose `local_gaussian` where its calls are
affordable."""

REAL = """## A real scan

{count} slices of the real scan of a person whom no training saw: PSNR of one call, dB; in brackets
the paired difference from the linear MMSE.

"""

COMPONENTS = """## Principal components in one call

`brain64-nppc` predicts the mean and five directions with their standard deviations. `z^2` is the
squared error along a direction over the predicted variance, averaged over slices: 1 is right.
Captured is the share of the squared error inside the first 1, 2, ... 5 directions.

| family | z^2 of components 1 to 5 | captured by 1 to 5 |
|---|---|---|
"""

if __name__ == "__main__":
    main()
