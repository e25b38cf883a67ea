"""What calculated crystals know of a composition: networks trained on calculated properties."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.errors import NotFound

if TYPE_CHECKING:
    from materialabs.networks.ensembles import CompositionEnsemble

SHIPPED: Final = Path(__file__).parent / "weights"
"""Folder of the sources that come with the package."""

WEIGHTS, CARD = "weights.safetensors", "card.json"


@dataclass(frozen=True, eq=False)
class Source:
    """A composition network that has learned calculated properties; it is never changed.

    Parameters
    ----------
    name
        Of the source, such as ``"mp36k"``.
    quantities
        What it predicts, for people, one for each output.
    ensemble
        The network.
    card
        Data, split, figures and SHA-256, as JSON values.
    """

    name: str
    quantities: tuple[str, ...]
    ensemble: CompositionEnsemble
    card: Mapping[str, Any]

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read a source's folder; a file that its card does not vouch for is refused."""
        from materialabs.networks.composition_network import CompositionNetworkShape
        from materialabs.networks.ensembles import CompositionEnsemble
        from materialabs.networks.model_files import read_card, read_weights

        place = Path(folder)
        card = read_card(place)
        states, scaling = read_weights(place, card["files"][WEIGHTS])
        given = card["network"]["shape"] | {"heads": tuple(card["network"]["shape"]["heads"])}
        ensemble = CompositionEnsemble(CompositionNetworkShape(**given), states, scaling)
        return cls(str(card["name"]), tuple(card["quantities"]), ensemble, card)

    def blocks(self, compositions: Compositions) -> dict[str, Descriptors]:
        """What the source says [n, quantities], and its inner features [n, d]."""
        answers = self.ensemble.answers(compositions)
        inner = answers.features.astype(np.float64)
        names = tuple(f"{self.name} feature {number}" for number in range(inner.shape[1]))
        told = Descriptors(answers.values.mean(axis=0), self.quantities)
        return {values_of(self.name): told, features_of(self.name): Descriptors(inner, names)}

    def fingerprint(self) -> str:
        """SHA-256 of the weights as they are in memory now."""
        digest = hashlib.sha256()
        for network in self.ensemble.networks:
            for name, tensor in sorted(network.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def values_of(source: str) -> str:
    """Name of the block of a source's predictions."""
    return f"{source} values"


def features_of(source: str) -> str:
    """Name of the block of a source's inner features."""
    return f"{source} features"


def blocks_of(sources: Sequence[str]) -> tuple[str, ...]:
    """Names of all blocks of some sources."""
    return tuple(name for one in sources for name in (values_of(one), features_of(one)))


def shipped_names() -> tuple[str, ...]:
    """Names of the sources that come with the package."""
    if not SHIPPED.is_dir():
        return ()
    return tuple(sorted(place.name for place in SHIPPED.iterdir() if (place / CARD).is_file()))


@lru_cache(maxsize=8)
def shipped(name: str) -> Source:
    """A source that comes with the package, by name."""
    if name not in shipped_names():
        told = ", ".join(shipped_names()) or "none"
        raise NotFound(f"There is no source {name!r}; these come with the package: {told}.")
    return Source.load(SHIPPED / name)
