"""Bundled priors: weights as safetensors, each with a JSON card.

A prior is named by its name in this folder, or by the path of a ``.safetensors`` file with its
card beside it.
"""

from pathlib import Path

from pydantic import ValidationError
from torch import nn

from uqrestore._shared.named import find_named
from uqrestore.diffusion.denoiser import NetworkDenoiser
from uqrestore.diffusion.error_model import ErrorModel
from uqrestore.diffusion.preconditioning import Preconditioning
from uqrestore.networks import BACKBONES
from uqrestore.networks.weights import WeightsError, load_json, load_tensors, sha256
from uqrestore.priors.low_rank import LowRankGaussian
from uqrestore.zoo.card import PriorCard

__all__ = ["PriorCard", "build_network", "list_priors", "load_card", "load_prior", "locate"]

SCHEMA = 1
"""Version of the cards this code reads."""

HERE = Path(__file__).parent


def list_priors() -> list[str]:
    """Return the names of the bundled priors."""
    return sorted(path.stem for path in HERE.glob("*.safetensors"))


def locate(name: str) -> Path:
    """Return the file of weights of a bundled prior or of a path.

    Raises:
        WeightsError: If there is no such prior; the bundled names are listed.
    """
    path = HERE / f"{name}.safetensors" if "/" not in name else Path(name)
    if name.endswith(".safetensors"):
        path = Path(name)
    if not path.is_file():
        raise WeightsError(
            f"prior {name!r}: no such file; it can be {', '.join(list_priors())}, or "
            "give the path of a .safetensors file with its .json card beside it."
        )
    return path


def load_card(name: str) -> PriorCard:
    """Read the card of a prior.

    Raises:
        WeightsError: If it is missing, unreadable, from a newer version, or one of its fields is
            not what a card may hold.
    """
    path = locate(name).with_suffix(".json")
    content = load_json(path)
    version = content.get("schema", SCHEMA)
    if isinstance(version, int) and version > SCHEMA:
        raise WeightsError(
            f"{path}: written by a newer version (schema {version}, this one reads {SCHEMA}); "
            "upgrade uqrestore."
        )
    try:
        return PriorCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise WeightsError(f"{path}: {key}: {first['msg']}; fetch or train it again.") from None


def load_prior(name: str) -> NetworkDenoiser | LowRankGaussian:
    """Load a prior, ready to denoise on the CPU, after checking its checksum.

    Raises:
        WeightsError: If a file is missing or damaged, the checksum differs from the card's, or
            the weights do not fit the network of the card.
    """
    path, card = locate(name), load_card(name)
    if card.sha256 is not None and sha256(path) != card.sha256:
        raise WeightsError(
            f"{path}: its sha256 is not the one of its card; the file is damaged or was replaced. "
            "Install or train it again."
        )
    if card.kind == "low_rank_gaussian":
        return LowRankGaussian.load(path)
    denoiser = build_network(card)
    weights = {key: value.float() for key, value in load_tensors(path).items()}
    try:
        denoiser.load_state_dict(weights)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{path}: does not fit the network of its card ({first}).") from None
    denoiser.errors, denoiser.bf16 = error_model_of(card), card.bf16
    return denoiser.eval().requires_grad_(False)


def error_model_of(card: PriorCard) -> ErrorModel | None:
    """Return the error model of a card; None where it was not measured.

    Raises:
        WeightsError: If its tables are damaged.
    """
    if card.errors is None:
        return None
    try:
        return ErrorModel.from_data(card.errors)
    except (TypeError, ValueError) as error:
        raise WeightsError(f"card of {card.name}: {error}; fetch or train it again.") from None


def build_network(card: PriorCard) -> NetworkDenoiser:
    """Build the untrained network that a card describes.

    Raises:
        WeightsError: If the card lacks the network, its image shape or its data scale, or holds
            options that the network does not have.
    """
    for key in ("network", "in_shape", "sigma_data"):
        if getattr(card, key) is None:
            raise WeightsError(
                f"card of {card.name}: it has no {key!r}, without which the network cannot be "
                "built; fetch or train it again."
            )
    assert card.network is not None
    assert card.sigma_data is not None
    try:
        network: nn.Module = find_named(card.network.name, BACKBONES, "backbone")(
            card.in_shape, **card.network.extra
        )
    except (TypeError, ValueError) as error:
        raise WeightsError(
            f"card of {card.name}: its network cannot be built ({error}); fetch or train it again."
        ) from None
    return NetworkDenoiser(network, Preconditioning(card.sigma_data, card.preconditioning))
