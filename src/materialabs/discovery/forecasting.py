"""What a campaign expects of candidates, always at the oracle's level.

A trained network that speaks at another level than the oracle goes through a map that is learned
from the campaign's relaxations and refitted in each round; its raw output is never put on the
oracle's hull. One that speaks at the oracle's level needs no map, and a map would take the errors
of the few crystals that it puts too low for a difference of levels: what it leaves over is learned
near those crystals alone. The network that ships for campaigns has learned what candidates come to
when they are relaxed, not only what known compounds are. Where there is no network, a small model
learns from the relaxations themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.discovery.remainders import FEWEST as FEWEST_LEFT_OVER
from materialabs.discovery.remainders import Remainder
from materialabs.discovery.surrogate_systems import FEWEST, SystemSurrogate
from materialabs.errors import ExternalError, InputError, MaterialabsError
from materialabs.hull import Hull
from materialabs.levels import Energies, Level
from materialabs.networks.level import LevelMap
from materialabs.networks.stability import distances_to_known, stability
from materialabs.predictions import Prediction

OWN_MODEL = "campaign"
"""Name of the model that learns from the campaign alone."""

SHIPPED_MODEL = "candidates"
"""Name of the network that ships for campaigns."""


class Predictor(Protocol):
    """Anything that predicts a property of crystals, with members."""

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Predict; ``relaxed`` says that the geometries are final, as opposed to candidates'."""
        ...


@dataclass(frozen=True, eq=False)
class Judged:
    """What is expected of candidates.

    Parameters
    ----------
    energy
        [n], formation energies at the oracle's level.
    raw
        [n], what the model says at its own level.
    """

    energy: Prediction
    raw: Prediction


class Forecaster(Protocol):
    """Predicts formation energies at the oracle's level and learns from relaxations."""

    @property
    def name(self) -> str:
        """What predicts; part of a campaign's identity."""
        ...

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Take in all relaxations so far: how they started, and what they came to."""
        ...

    def judge(self, crystals: Crystals) -> Judged | None:
        """What to expect of unrelaxed candidates; nothing as long as nothing can be said."""
        ...


class Remembering:
    """A model that is asked about each unrelaxed candidate once: most come again in every round.

    Parameters
    ----------
    model
        Is asked.
    """

    def __init__(self, model: Predictor) -> None:
        self._model = model
        self._places: dict[bytes, int] = {}
        self._told: list[Prediction] = []

    def predict(self, crystals: Crystals) -> Prediction:
        """What the model says of candidates."""
        names = [_name_of(crystals, row) for row in range(len(crystals))]
        fresh = {name: row for row, name in enumerate(names) if name not in self._places}
        if fresh or not self._told:
            rows = np.array(list(fresh.values()), dtype=np.int64)
            self._told.append(self._model.predict(crystals[rows], relaxed=False))
            self._places |= {name: len(self._places) + n for n, name in enumerate(fresh)}
        if len(self._told) > 1:
            self._told = [Prediction.concat([one.replace(ids=()) for one in self._told])]
        places = np.array([self._places[name] for name in names], dtype=np.int64)
        return self._told[0].take(places).replace(ids=tuple(crystals.ids()))


def _name_of(crystals: Crystals, row: int) -> bytes:
    atoms = slice(crystals.offsets[row], crystals.offsets[row + 1])
    digest = hashlib.blake2b(crystals.lattice[row].tobytes(), digest_size=16)
    digest.update(crystals.frac[atoms].tobytes())
    digest.update(crystals.numbers[atoms].tobytes())
    return digest.digest()


@dataclass
class Nothing:
    """Expects nothing: for random choice."""

    name: str = ""

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Learn nothing."""

    def judge(self, crystals: Crystals) -> Judged | None:
        """No answer."""
        return None


@dataclass
class Trained:
    """A trained model whose answers are brought to what the oracle says.

    Parameters
    ----------
    model
        Predicts energies with kind and level.
    name
        Of the model.
    elements
        Of the system.
    seed
        Of what is learned.
    remembers
        Whether each candidate is asked about once in a campaign, and not once in a round. An
        answer depends in its last digits on what was asked with it, so that a campaign that must
        end alike however it is disturbed asks anew in each round.
    """

    model: Predictor
    name: str
    elements: tuple[int, ...]
    seed: int = 0
    remembers: bool = False
    level_map: LevelMap | None = None
    remainder: Remainder | None = None

    def __post_init__(self) -> None:
        self._memory = Remembering(self.model)
        self._oracle: Level | None = None

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Learn anew what lies between the model and the oracle."""
        if not self.remembers:
            self._memory = Remembering(self.model)
        self._oracle = labels.level
        told = self._memory.predict(starts)
        energies = told.energies()
        if (energies.level, energies.kind) == (labels.level, labels.kind):
            self.remainder = self._left_over(starts, told, labels)
        else:
            self.level_map = LevelMap.fit(told, starts.compositions, labels, seed=self.seed)

    def judge(self, crystals: Crystals) -> Judged | None:
        """Formation energies of all."""
        if self._oracle is None:
            raise InputError("Nobody has said at which level the oracle speaks: call learn first.")
        raw = self._memory.predict(crystals)
        energy = raw
        if self.level_map is not None:
            energy = self.level_map.apply(raw, crystals.compositions)
        elif self.remainder is not None:
            energy = self.remainder.added(raw, crystals)
        return Judged(energy, raw)

    def _left_over(self, starts: Crystals, told: Prediction, labels: Energies) -> Remainder | None:
        rows = np.flatnonzero(np.diff(starts.compositions.offsets) > 1)
        if len(rows) < FEWEST_LEFT_OVER:
            return None
        return Remainder.fit(starts[rows], told.take(rows), labels[rows], self.elements)


@dataclass
class Learned:
    """A model that learns from the campaign alone.

    Parameters
    ----------
    elements
        Of the system.
    seed
        Of its draws.
    """

    elements: tuple[int, ...]
    seed: int = 0
    name: str = OWN_MODEL
    model: SystemSurrogate | None = None

    def learn(self, starts: Crystals, labels: Energies) -> None:
        """Learn from all compounds relaxed so far; the elements' energies are known to be zero."""
        rows = np.flatnonzero(np.diff(starts.compositions.offsets) > 1)
        self.model = (
            SystemSurrogate.fit(starts[rows], labels[rows], self.elements, seed=self.seed)
            if len(rows) >= FEWEST
            else None
        )

    def judge(self, crystals: Crystals) -> Judged | None:
        """Formation energies of all; this model knows the oracle's level alone."""
        if self.model is None:
            return None
        energy = self.model.predict(crystals)
        return Judged(energy, energy)


def forecaster_for(
    model: Any, strategy: str, elements: tuple[int, ...], seed: int, *, deterministic: bool = False
) -> Forecaster:
    """The forecaster of a campaign.

    Parameters
    ----------
    model
        A predictor; ``"energy"`` or another name of a trained network; ``"campaign"`` for the
        model that learns from the campaign alone; None for the network that ships for campaigns,
        where it is there, and for the campaign's own model otherwise.
    strategy, elements, seed, deterministic
        Of the campaign.
    """
    if strategy == "random" and model is None:
        return Nothing()
    if model is None:
        return _shipped(elements, seed, remembers=not deterministic) or Learned(elements, seed)
    if model == OWN_MODEL:
        return Learned(elements, seed)
    if isinstance(model, str):
        loaded = _load(model)
        return Trained(loaded, _name(loaded), elements, seed, remembers=not deterministic)
    return Trained(model, _name(model), elements, seed)


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
    energies, above = prediction.energies(), above_all(crystals.compositions, hull)
    return np.stack(
        [above(Energies(member, energies.kind, energies.level)) for member in prediction.members]
    )


def above_all(compositions: Compositions, hull: Hull) -> Callable[[Energies], NDArray[np.float64]]:
    """How far candidates lie above the hull of known phases and themselves, from their energies."""
    every = Compositions.concat([hull.compositions, compositions])
    mine = slice(len(hull), len(hull) + len(compositions))

    def above(energies: Energies) -> NDArray[np.float64]:
        hull.energies.require_comparable(energies)
        return np.asarray(Hull(every, hull.energies.concat(energies)).distances[mine])

    return above


def _name(model: Any) -> str:
    return str(getattr(model, "model_id", "") or getattr(model, "name", "") or type(model).__name__)


def _load(name: str) -> Predictor:
    try:
        from materialabs.networks.models import load_model
    except ImportError as error:
        raise ExternalError(
            f"The network {name!r} cannot be loaded: this installation has no trained models."
        ) from error
    found = load_model(name)
    if found.heads[found.head].kind is None:
        raise InputError(
            f"The network {name!r} predicts {found.heads[found.head].title}, and a campaign judges "
            "by energies: give one that predicts these, such as 'energy'.",
            code="campaign.model",
        )
    return found


def _shipped(elements: tuple[int, ...], seed: int, *, remembers: bool) -> Forecaster | None:
    """The network that ships for campaigns."""
    try:
        found = _load(SHIPPED_MODEL)
    except MaterialabsError:
        return None
    return Trained(found, _name(found), elements, seed, remembers)
