"""Zero-shot methods on mixtures: ``python -m tests.benchmarks.mixture_methods 800 1 100``.

The arguments are the number of voxels, of measurements, and of draws.
"""

import sys

from uqrestore.benchmarks.exact import exact_draws
from uqrestore.benchmarks.mixtures import measure_mixture
from uqrestore.methods import METHODS

CASES = {
    "exact draws": (exact_draws, {}),
    "pigdm": (METHODS["pigdm"], {"levels": 100, "data_std": 1.0}),
    "local_gaussian": (
        METHODS["local_gaussian"],
        {"levels": 50, "spread_products": 2, "data_products": 2},
    ),
    "local_gaussian, more levels": (
        METHODS["local_gaussian"],
        {"levels": 100, "spread_products": 1, "data_products": 1, "sigma_min": 0.1},
    ),
}


def main(size: int, rows: int, draws: int) -> None:
    """Print a line for every method and problem."""
    for seed in range(3):
        for label, (method, options) in CASES.items():
            size_of = {"size": size, "rows": rows, "draws": draws, "seed": seed}
            score = measure_mixture(method, **size_of, **options)
            print(  # noqa: T201
                f"| {seed} | {label} | {score.calls} + {score.products} | {score.sliced:.2f} "
                f"| {score.mode_weights:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
