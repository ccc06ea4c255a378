"""Posterior means and components without draws: one call of a conditional network."""

import numpy as np

from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.posterior_mean import posterior_moments
from uqrestore.noise import SampleNoise
from uqrestore.posterior import Predicted
from uqrestore.posterior.acquisition import Acquisition
from uqrestore.restoration.draw import chunks
from uqrestore.restoration.prior_cache import PriorCache
from uqrestore.restoration.record import Restoration
from uqrestore.zoo.card import PriorCard

# Random stream of the pure noise that the network takes in: a sample index that no draw has.
MOMENTS_STREAM = 2**62 + 1
# Slices in one call.
AT_ONCE = 16


def predicted_moments(run: Restoration, cache: PriorCache) -> Predicted:
    """Return mean and components by the predictor of a pipeline that has one."""
    pipeline = run.pipeline
    assert pipeline.predictor is not None
    assert isinstance(run.acquisition, Acquisition)  # as the check of pipelines requires
    return predict(
        pipeline.predictor,
        run.acquisition,
        cache,
        base=pipeline.predictor_base,
        seed=pipeline.seed,
        scan=run.prepared.scan.key,
        device=run.options.device,
    )


def predict(
    name: str,
    acquisition: Acquisition,
    cache: PriorCache,
    *,
    seed: int,
    scan: int,
    device: str,
    base: str | None = None,
) -> Predicted:
    """Return posterior mean and principal components of every slice from a network.

    Args:
        name: A conditional network of the zoo, such as ``brain64-nppc``.
        acquisition: The slices.
        cache: Keeps the network for the next scan.
        seed: Of the run.
        scan: Key of the scan.
        device: Where the network runs.
        base: Network of the mean, for components trained on the error of a frozen network.

    Returns:
        Mean, unit components ordered by variance, their standard deviations; no components if
        the network has none.

    Raises:
        ValueError: If a network is not conditional, or of another image shape, or a base is
            missing or not allowed.
    """
    denoiser, card = _conditional("predictor", name, acquisition, cache, device)
    loss = card.training.loss
    frozen = loss.components.base == "frozen"
    if frozen != (base is not None):
        has = "were trained on the error of a frozen network" if frozen else "describe its own mean"
        do = "name that network by predictor_base" if frozen else "leave predictor_base out"
        raise ValueError(f"predictor: the components of {name} {has}; {do}.")
    mean_of = None
    if base is not None:
        mean_of = _conditional("predictor_base", base, acquisition, cache, device)[0]
    # The network was trained at a single level of pure noise.
    sigma = loss.pure_noise_sigma
    means, directions, stds = [], [], []
    for group in chunks(acquisition.slices, AT_ONCE):
        noise = SampleNoise(seed, [MOMENTS_STREAM], scan=scan, slices=group)
        problem = acquisition.problem(group).to(device)
        moments = posterior_moments(denoiser, problem, noise, sigma=sigma, base=mean_of)
        means.append(acquisition.intensity.to_file(moments.mean).cpu().numpy())
        directions.append(moments.directions.cpu().numpy())
        stds.append(acquisition.intensity.std_to_file(moments.std).cpu().numpy())
    return Predicted(
        mmse=np.concatenate(means).astype(np.float32),
        pc=np.concatenate(directions).astype(np.float32).swapaxes(0, 1),
        pc_std=np.concatenate(stds).astype(np.float32).T,
    )


def _conditional(
    key: str, name: str, acquisition: Acquisition, cache: PriorCache, device: str
) -> tuple[NetworkDenoiser, PriorCard]:
    denoiser, card = cache.denoiser(name, device)
    shape = acquisition.operator.in_shape
    conditional = isinstance(denoiser, NetworkDenoiser) and denoiser.network.conditional
    if not conditional or tuple(denoiser.in_shape) != shape:
        raise ValueError(
            f"{key}: {name} must be a conditional network for images of shape {shape}, such "
            f"as brain64-invfussion; choose another, or leave {key!r} out."
        )
    assert isinstance(denoiser, NetworkDenoiser)
    return denoiser, card
