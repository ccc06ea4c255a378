"""What a conditional network says of acquired slices in one call each, in the file's units."""

import numpy as np

from uqrestore.acquisition import Acquisition
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.one_call import DROWNED, one_call
from uqrestore.noise import SampleNoise
from uqrestore.posterior import Predicted
from uqrestore.sampling import Shelf, chunks

# The stream of the pure noise that the network is shown: a sample index no draw has.
ONE_CALL_STREAM = 2**62 + 1
# Slices in one call.
AT_ONCE = 16


def predict(
    name: str, acquisition: Acquisition, shelf: Shelf, *, seed: int, scan: int, device: str
) -> Predicted:
    """Ask a network for posterior mean and principal components of every slice.

    Args:
        name: A conditional network of the zoo, such as ``brain64-nppc``.
        acquisition: The slices.
        shelf: Keeps the network for the next scan.
        seed: Of the run.
        scan: Key of the scan.
        device: Where the network runs.

    Returns:
        Mean, unit components ordered by variance, their standard deviations; no components where
        the network puts out none.

    Raises:
        ValueError: If the network is no conditional one, or of another image shape.
    """
    denoiser, card = shelf.denoiser(name, device)
    shape = acquisition.operator.in_shape
    conditional = isinstance(denoiser, NetworkDenoiser) and getattr(
        denoiser.network, "conditional", False
    )
    if not conditional or tuple(denoiser.in_shape) != shape:
        raise ValueError(
            f"predictor: {name} must be a conditional network for images of shape {shape}, such "
            "as brain64-invfussion; choose another, or leave 'predictor' out."
        )
    # A network knows pure noise of the level it was trained at alone.
    sigma = card.get("training", {}).get("loss", {}).get("pure_noise_sigma", DROWNED)
    means, directions, stds = [], [], []
    for group in chunks(acquisition.slices, AT_ONCE):
        noise = SampleNoise(seed, [ONE_CALL_STREAM], scan=scan, slices=group)
        told = one_call(denoiser, acquisition.problem(group).to(device), noise, sigma=sigma)
        means.append(acquisition.intensity.to_file(told.mean).cpu().numpy())
        directions.append(told.directions.cpu().numpy())
        stds.append(acquisition.intensity.std_to_file(told.std).cpu().numpy())
    return Predicted(
        mmse=np.concatenate(means).astype(np.float32),
        pc=np.concatenate(directions).astype(np.float32).swapaxes(0, 1),
        pc_std=np.concatenate(stds).astype(np.float32).T,
    )
