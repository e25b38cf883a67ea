"""What a campaign expects of candidates, always at the oracle's level.

A trained network speaks at a level of its own. What it says goes through a map that is learned from
the campaign's relaxations and refitted in each round; its raw output is never put on the oracle's
hull. Where there is no network, a small model learns from the relaxations themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.discovery.learner import FEWEST, CampaignModel
from materialabs.errors import ExternalError, InputError, MaterialabsError
from materialabs.hull import Hull
from materialabs.levels import Energies
from materialabs.networks.level import LevelMap
from materialabs.networks.stability import distances_to_known, stability
from materialabs.predictions import Prediction

OWN_MODEL = "campaign"
"""Name of the model that learns from the campaign alone."""

SHIPPED_MODEL = "energy"
"""Name of the network that ships."""


class Predictor(Protocol):
    """Anything that predicts a property of crystals, with members."""

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Predict; ``relaxed`` says that the crystals are in their equilibrium volume."""
        ...


class Forecaster(Protocol):
    """Predicts formation energies at the oracle's level and learns from relaxations."""

    name: str

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Take in all relaxations so far: how they started, and what they came to."""
        ...

    def raw(self, crystals: Crystals) -> Prediction | None:
        """What the model says at its own level."""
        ...

    def forecast(self, crystals: Crystals) -> Prediction | None:
        """Formation energies at the oracle's level; nothing as long as nothing can be said."""
        ...


@dataclass
class Nothing:
    """Expects nothing: for random choice."""

    name: str = ""

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Learn nothing."""

    def raw(self, crystals: Crystals) -> Prediction | None:
        """No answer."""
        return None

    def forecast(self, crystals: Crystals) -> Prediction | None:
        """No answer."""
        return None


@dataclass
class Mapped:
    """A trained model whose answers are mapped to the oracle's level.

    Parameters
    ----------
    model
        Predicts energies with kind and level.
    name
        Of the model.
    seed
        Of the map.
    """

    model: Predictor
    name: str
    seed: int = 0
    level_map: LevelMap | None = None
    _target: Energies | None = None
    _remembered: dict[str, Prediction] = field(default_factory=dict, repr=False)

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Refit the map."""
        self._target = labels[:0]
        self.level_map = None
        if len(starts):
            prediction = self.model.predict(starts)
            self.level_map = LevelMap.fit(prediction, starts.compositions, labels, seed=self.seed)

    def raw(self, crystals: Crystals) -> Prediction | None:
        """What the model says at its own level."""
        return self.model.predict(crystals)

    def forecast(self, crystals: Crystals) -> Prediction | None:
        """Formation energies at the oracle's level."""
        if self._target is None:
            raise InputError("The map has not learned which level it leads to: call learn first.")
        prediction = self.model.predict(crystals)
        chosen = self.level_map or LevelMap.unlearned(
            prediction, self._target.level, self._target.kind
        )
        return chosen.apply(prediction, crystals.compositions)


@dataclass
class Learned:
    """A model that learns from the campaign alone.

    Parameters
    ----------
    elements
        Of the system.
    seed
        Of its features.
    """

    elements: tuple[int, ...]
    seed: int = 0
    name: str = OWN_MODEL
    model: CampaignModel | None = None

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Learn from all relaxations so far."""
        compounds = int((np.diff(starts.compositions.offsets) > 1).sum())
        enough = compounds >= FEWEST
        self.model = (
            CampaignModel.fit(starts, labels, self.elements, seed=self.seed) if enough else None
        )

    def raw(self, crystals: Crystals) -> Prediction | None:
        """The same as :meth:`forecast`: this model knows the oracle's level alone."""
        return self.forecast(crystals)

    def forecast(self, crystals: Crystals) -> Prediction | None:
        """Formation energies at the oracle's level."""
        return None if self.model is None else self.model.predict(crystals)


def forecaster_for(model: Any, strategy: str, elements: tuple[int, ...], seed: int) -> Forecaster:
    """The forecaster of a campaign.

    Parameters
    ----------
    model
        A predictor; ``"energy"`` or another name of a trained network; ``"campaign"`` for the
        model that learns from the campaign alone; None for the network that ships where it is
        there, and for the campaign's own model otherwise.
    strategy, elements, seed
        Of the campaign.
    """
    if strategy == "random" and model is None:
        return Nothing()
    if model is None:
        found = _shipped()
        return Learned(elements, seed) if found is None else Mapped(found, _name(found), seed)
    if model == OWN_MODEL:
        return Learned(elements, seed)
    if isinstance(model, str):
        loaded = _load(model)
        return Mapped(loaded, _name(loaded), seed)
    return Mapped(model, _name(model), seed)


def distance_of(prediction: Prediction | None, crystals: Crystals, hull: Hull) -> Prediction | None:
    """Hull distance of each candidate as a prediction, member by member."""
    if prediction is None:
        return None
    if prediction.members is None:  # a model without members errs alike everywhere
        edge = hull.energy(crystals)
        edge.require_comparable(prediction.energies())
        return prediction.replace(
            mean=prediction.mean - edge.values, kind=None, quantity="distance from the hull"
        )
    return stability(prediction, distances_to_known(prediction, crystals, hull))


def distances_among_all(
    prediction: Prediction | None, crystals: Crystals, hull: Hull
) -> NDArray[np.float64] | None:
    """Distance [m, n] of each candidate above each member's hull of known phases and candidates.

    Against the hull of what is known alone, every compound of a strongly bound subsystem looks
    like an improvement, also where another candidate would make it unstable at once.
    """
    if prediction is None or prediction.members is None:
        return None
    energies, rows = prediction.energies(), len(hull)
    every = Compositions.concat([hull.compositions, crystals.compositions])
    hull.energies.require_comparable(energies)
    return np.stack([
        Hull(every, hull.energies.concat(Energies(member, energies.kind, energies.level)))
        .distances[rows : rows + len(crystals)]
        for member in prediction.members
    ])  # fmt: skip


def _name(model: Any) -> str:
    return str(getattr(model, "model_id", "") or getattr(model, "name", "") or type(model).__name__)


def _load(name: str) -> Predictor:
    try:
        from materialabs.networks.models import load_model
    except ImportError as error:
        raise ExternalError(
            f"The network {name!r} cannot be loaded: this installation has no trained models."
        ) from error
    found: Predictor = load_model(name)
    return found


def _shipped() -> Predictor | None:
    try:
        return _load(SHIPPED_MODEL)
    except (MaterialabsError, ImportError):
        return None
