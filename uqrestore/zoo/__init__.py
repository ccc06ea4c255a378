"""What ships: priors as safetensors, each with a JSON card that says what it is for.

A prior is a name of this folder, or the path of a ``.safetensors`` file with its card beside it.
"""

from pathlib import Path
from typing import Any

from torch import nn

from uqrestore.diffusion.denoiser import NetworkDenoiser, Preconditioning
from uqrestore.networks import BACKBONES
from uqrestore.networks.weights import WeightsError, load_json, load_tensors, sha256
from uqrestore.priors.low_rank import LowRankGaussian

SCHEMA = 1
"""Version of the cards this code reads."""

HERE = Path(__file__).parent


def names() -> list[str]:
    """Return the names of the priors that ship."""
    return sorted(path.stem for path in HERE.glob("*.safetensors"))


def locate(name: str) -> Path:
    """Return the file of weights behind a name of the zoo or a path.

    Raises:
        WeightsError: If there is no such prior; the names that ship are listed.
    """
    path = HERE / f"{name}.safetensors" if "/" not in name else Path(name)
    if name.endswith(".safetensors"):
        path = Path(name)
    if not path.is_file():
        raise WeightsError(
            f"prior {name!r}: no such file; the priors that ship are {', '.join(names())}, or "
            "give the path of a .safetensors file with its .json card beside it."
        )
    return path


def load_card(name: str) -> dict[str, Any]:
    """Read the card of a prior.

    Raises:
        WeightsError: If it is missing, unreadable or from a newer version.
    """
    path = locate(name).with_suffix(".json")
    card = load_json(path)
    if card.get("schema", SCHEMA) > SCHEMA:
        raise WeightsError(
            f"{path}: written by a newer version (schema {card['schema']}, this one reads "
            f"{SCHEMA}); upgrade uqrestore."
        )
    return card


def load_prior(name: str) -> NetworkDenoiser | LowRankGaussian:
    """Load a prior, ready to denoise on the CPU, after checking its checksum.

    Raises:
        WeightsError: If a file is missing or damaged, the checksum differs from the card's, or
            the weights do not fit the network of the card.
    """
    path, card = locate(name), load_card(name)
    wanted = card.get("sha256")
    if wanted is not None and sha256(path) != wanted:
        raise WeightsError(
            f"{path}: its sha256 is not the one of its card; the file is damaged or was replaced. "
            "Install or train it again."
        )
    if card.get("kind") == "low_rank_gaussian":
        return LowRankGaussian.load(path)
    denoiser = build_network(card)
    weights = {key: value.float() for key, value in load_tensors(path).items()}
    try:
        denoiser.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{path}: does not fit the network of its card ({first}).") from None
    return denoiser.eval().requires_grad_(False)


def build_network(card: dict[str, Any]) -> NetworkDenoiser:
    """Build the untrained network that a card describes."""
    try:
        said = dict(card["network"])
        network: nn.Module = BACKBONES[said.pop("name")](tuple(card["in_shape"]), **said)
        return NetworkDenoiser(network, Preconditioning(card["sigma_data"]))
    except (KeyError, TypeError) as error:
        raise WeightsError(
            f"card of {card.get('name', 'a prior')}: its network cannot be built ({error})."
        ) from None
