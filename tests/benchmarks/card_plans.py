"""What is measured for the calibration card of each method: options, and levels of noise."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOISE_FREE = (0.0,)
NOISY = (0.01, 0.05, 0.2)
ANY = (*NOISE_FREE, *NOISY)
ONE_LEVEL = (0.05,)


@dataclass(frozen=True)
class Variant:
    """One line of a card.

    Attributes:
        options: Options of the method; none are its defaults.
        noise_std: Measurement noise levels, in network units.
        brief: Measure colorization, whose images have three channels and whose prior costs nine
            times as much, at one level only.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    noise_std: tuple[float, ...] = NOISY
    brief: bool = True

    def levels(self, operator: str) -> tuple[float, ...]:
        """Return the noise levels for an operator of the bench."""
        if operator == "colorization" and len(self.noise_std) > 1 and self.brief:
            return ONE_LEVEL
        return self.noise_std


def _calls(*presets: str, noise_std: tuple[float, ...], brief: bool = True) -> dict[str, Variant]:
    return {f"{preset} calls": Variant({"preset": preset}, noise_std, brief) for preset in presets}


PLANS: Mapping[str, Mapping[str, Variant]] = {
    "conditional": {
        "defaults": Variant(),
        "14 calls": Variant(
            {"steps": 14, "sampler": "dpmpp_3m", "rho": 50.0, "sigma_min": 0.005}, ANY
        ),
        "20 calls": Variant({"steps": 20, "sampler": "dpmpp_2m"}, ANY),
    },
    "daps": {
        "defaults": Variant(),
        # A fifth of the published calls, and the step that is stable with singular values to 1.5.
        "published, 200 calls": Variant({"preset": "published", "levels": 40, "step_size": 4e-5}),
    },
    "ddnm": {
        "defaults": Variant({}, NOISE_FREE),
        "published": Variant({"preset": "published"}, NOISE_FREE),
    },
    "ddnm_plus": {
        "defaults": Variant(),
        "published": Variant({"preset": "published"}),
    },
    "ddrm": {
        "defaults": Variant({}, ANY, brief=False),
        "published": Variant({"preset": "published"}),
    },
    "diffpir": {
        "defaults": Variant(),
        "published": Variant({"preset": "published"}),
    },
    "dps": {"defaults": Variant()},
    "exact": {"defaults": Variant({}, ANY)},
    "fitted_gaussian": {
        "defaults": Variant({}, ANY),
        "20 calls": Variant({"preset": "20"}),
    },
    "local_gaussian": {
        "defaults": Variant({}, ANY, brief=False),
        **_calls("50", "100", "400", noise_std=ANY, brief=False),
    },
    "local_laplace": {"defaults": Variant({}, ONE_LEVEL)},
    "moment_matching": {"defaults": Variant({}, ANY)},
    "pigdm": {
        "defaults": Variant({}, ANY, brief=False),
        "InverseBench": Variant({"preset": "inversebench"}),
    },
    "ssd": {
        **_calls("30", "100", noise_std=NOISE_FREE),
        "published": Variant({"preset": "published"}, NOISE_FREE),
    },
    "ssd_plus": {
        **_calls("30", "100", noise_std=NOISY),
        "published": Variant({"preset": "published", "weight": "stop"}),
    },
}
"""By the name of the method, then of the variant."""

MIXTURES: Mapping[str, Mapping[str, Any]] = {
    "conditional": {"levels": 32, "sigma_min": 0.1, "reach": 100.0},
    "daps": {"levels": 100, "langevin_steps": 50},
    "ddnm_plus": {"levels": 100},
    "ddrm": {"levels": 100},
    "diffpir": {"levels": 100},
    "dps": {"levels": 100, "strength": 1.0},
    "exact": {},
    "fitted_gaussian": {"levels": 50, "sigma_max": 20.0, "sigma_min": 0.03},
    "local_gaussian": {"levels": 50, "spread_products": 2, "data_products": 2},
    "moment_matching": {"levels": 50, "products": 2},
    "pigdm": {"levels": 100, "data_std": 1.0},
}
"""Options of each method on the mixtures of the set MCG; the others take no noise, or no levels."""
