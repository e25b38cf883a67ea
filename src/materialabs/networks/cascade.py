"""Judge many candidates quickly: a small pupil looks at all, its teachers at the promising ones.

The pupil is one small network that has learned what the ensemble says of candidates. Its hull
distances decide who is worth the ensemble's time: all that are within a margin of the threshold,
where the margin is how far above the ensemble the pupil was on candidates that it never saw. What
is left keeps the pupil's answer, with the pupil's own calibrated interval.

The hull may stand at another level than the models (an oracle's): the answers of both then go
through the same map before they are held against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks.graphs import BondGraphs, bond_graphs
from materialabs.networks.level import LevelMap
from materialabs.networks.models import Model, load_model
from materialabs.networks.stability import (
    KnownHull,
    distances_to_known,
    stability,
)
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

HEAD: Final = "formation_energy"
"""What both models must predict."""

SEARCHED_AT_ONCE: Final = 20_000
"""Candidates whose graphs are kept while the pupil's answers are compared."""


@dataclass(frozen=True, eq=False)
class Screened:
    """What a cascade says of candidates.

    Parameters
    ----------
    distance
        Distance from the hull of each candidate, eV/atom, calibrated.
    energy
        Formation energy of each candidate.
    by_ensemble
        [n], true where the whole ensemble was asked.
    """

    distance: Prediction
    energy: Prediction
    by_ensemble: NDArray[np.bool_]


class Cascade:
    """A pupil and the ensemble that taught it.

    Parameters
    ----------
    pupil, ensemble
        Models with a formation energy at one level and graphs of as many neighbours.
    margin
        eV/atom that the pupil may be above the ensemble; the one of the pupil's card by default.
    """

    def __init__(self, pupil: Model, ensemble: Model, margin: float | None = None) -> None:
        known = pupil.card.get("taught_by", {})
        if margin is None and known.get("weights_sha256") != ensemble.card["weights_sha256"]:
            raise InputError(
                f"The pupil {pupil.model_id} was not taught by {ensemble.model_id}: give the "
                "margin by which its energies may be too high, or the ensemble that taught it."
            )
        self.pupil, self.ensemble = pupil, ensemble
        self.margin = float(known["margin"] if margin is None else margin)

    @classmethod
    def shipped(cls) -> Cascade:
        """The pupil and the ensemble that come with the package."""
        return cls(load_model("pupil"), load_model("energy"))

    def screen(
        self,
        candidates: Crystals,
        hull: KnownHull,
        *,
        level_map: LevelMap | None = None,
        within: float | None = None,
        best: float = 0.01,
        threads: int = 1,
    ) -> Screened:
        """Hull distances of unrelaxed candidates, sure where it matters.

        Parameters
        ----------
        candidates
            Any number; they are worked through in parts.
        hull
            Of formation energies at the level that ``level_map`` leads to.
        level_map
            From the models' level to the hull's; none where they are the same.
        within
            eV/atom; candidates closer to the hull than this are judged by the ensemble.
        best
            Share of each part that is judged by it where ``within`` is not given.
        threads
            Threads that build graphs.
        """
        parts = [
            self._part(part, hull, level_map, within, best, threads)
            for part in candidates.chunks(SEARCHED_AT_ONCE)
        ]
        ids = tuple(candidates.ids())
        return Screened(
            Prediction.concat([part.distance for part in parts]).replace(ids=ids),
            Prediction.concat([part.energy for part in parts]).replace(ids=ids),
            np.concatenate([part.by_ensemble for part in parts]),
        )

    def _part(
        self,
        part: Crystals,
        hull: KnownHull,
        level_map: LevelMap | None,
        within: float | None,
        best: float,
        threads: int,
    ) -> Screened:
        graphs, cells = bond_graphs(part, threads=threads), part.compositions
        energy = _mapped(_energies(self.pupil, graphs, cells), cells, level_map)
        distance = stability(energy, distances_to_known(energy, cells, hull))
        limit = np.quantile(distance.mean, best) if within is None else within
        chosen = np.flatnonzero(distance.mean <= limit + self.margin)
        asked = np.zeros(len(part), dtype=bool)
        asked[chosen] = True
        raw = _energies(self.ensemble, graphs.take(chosen), cells[chosen])
        sure = _mapped(raw, cells[chosen], level_map)
        nearer = stability(sure, distances_to_known(sure, cells[chosen], hull))
        return Screened(_told_by(distance, nearer, asked), _told_by(energy, sure, asked), asked)


def _energies(model: Model, graphs: BondGraphs, cells: Compositions) -> Prediction:
    return model.predict_graphs(graphs, cells, [HEAD], relaxed=False)[HEAD]


def _mapped(told: Prediction, cells: Compositions, level_map: LevelMap | None) -> Prediction:
    return told if level_map is None else level_map.apply(told, cells)


def _told_by(many: Prediction, few: Prediction, asked: NDArray[np.bool_]) -> Prediction:
    """All of the pupil's answers, with the ensemble's where it was asked; members are left out."""
    joined = Prediction.concat(
        [many[np.flatnonzero(~asked)].replace(members=None, model_id=few.model_id),
         few.replace(members=None)]
    )  # fmt: skip
    place = np.empty(len(asked), dtype=np.int64)
    place[np.concatenate([np.flatnonzero(~asked), np.flatnonzero(asked)])] = np.arange(len(asked))
    return joined.take(place)
