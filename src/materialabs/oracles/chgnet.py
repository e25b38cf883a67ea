"""CHGNet: the potential that is there by default, with weights for PBE(+U) and for r2SCAN.

Deng et al., Nature Machine Intelligence 5, 1031 (2023). Energies of ``"pbe"`` are those of the
Materials Project's GGA/GGA+U mixture with the corrections of 2020 already in them; ``"r2scan"``
gives uncorrected r2SCAN energies (Huang et al., npj Comput. Mater. 2025).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.elements import SYMBOLS
from materialabs.levels import Level
from materialabs.oracles.chgnet_graph import BondGraph, NetworkAnswer, bond_graph, split_graph
from materialabs.oracles.chgnet_weights import chgnet_level, load_weights
from materialabs.oracles.one_blas_thread import one_blas_thread
from materialabs.oracles.oracle import Evaluation
from materialabs.oracles.potential import Potential
from materialabs.oracles.relaxation import THOROUGH, RelaxationSettings
from materialabs.oracles.relaxing import BatchLimits

HEAVIEST: Final = 94
"""Plutonium; heavier elements were not in the training data."""


ON_PROCESSOR: Final = BatchLimits(4)
"""Crystals are computed one after the other; a few together share the search for neighbours (0.7 ms
for one alone, 0.2 ms for each of four), and few at once leave work for other processes."""

ON_GRAPHICS_PROCESSOR: Final = BatchLimits(256, 8_000)
"""A first guess; the batch is halved where the memory does not hold it."""

LONELY: Final = "an atom has no neighbour within 6 angstrom, where CHGNet knows nothing"


class ChgnetOracle(Potential):
    """CHGNet with its published weights, on this processor or on a graphics processor.

    Parameters
    ----------
    weights
        ``"pbe"`` or ``"r2scan"``.
    device
        ``"cpu"``, ``"cuda"``, or ``"auto"``: the graphics processor where there is one.

    Notes
    -----
    On a processor every crystal is computed by itself: its energy does not depend on the batch
    it is in, to the last bit. On a graphics processor the order of sums does, by about 1e-6
    eV/atom and 1e-4 eV/angstrom.
    """

    def __init__(self, weights: str = "pbe", *, device: str = "auto") -> None:
        self._level = chgnet_level(weights)
        self.weights = weights
        self.device = _chosen(device)
        self.limits = ON_PROCESSOR if self.device == "cpu" else ON_GRAPHICS_PROCESSOR
        load_weights(weights)

    @property
    def level(self) -> Level:
        """CHGNet with the hash of its weights; it declares the level that it emulates."""
        return self._level

    @property
    def campaign_settings(self) -> RelaxationSettings:
        """Close tolerances from a displaced start: steps are cheap."""
        return THOROUGH

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """Energy, forces, stress and moments of each crystal as it stands."""
        crystals.require_order("CHGNet")
        if len(crystals) == 0:
            return Evaluation.concat([])
        reasons = _refusals(crystals)
        good = np.flatnonzero([not reason for reason in reasons])
        if len(good) == len(crystals):
            return self._answers(crystals)
        whole = Evaluation.failed(crystals, "")
        moments = np.full(len(crystals.frac), np.nan)
        if len(good):
            found = self._answers(crystals.take(good))
            atoms = np.isin(crystals.owners, good)
            whole.energies[good] = found.energies
            whole.forces[atoms] = found.forces
            whole.stress[good] = found.stress
            assert found.moments is not None
            moments[atoms] = found.moments
            for place, row in enumerate(good):
                reasons[row] = found.reasons[place]
        return Evaluation(whole.energies, whole.forces, whole.stress, moments, tuple(reasons))

    def _answers(self, crystals: Crystals) -> Evaluation:
        from materialabs.oracles.chgnet_basis_kernels import forces_and_virials

        graph = bond_graph(crystals)
        found = self._network(graph)
        forces = np.zeros((len(crystals.frac), 3))
        virials = np.zeros((len(crystals), 3, 3))
        forces_and_virials(
            graph.first, graph.second, graph.owners, graph.vectors, found.slopes, forces, virials
        )
        stress = 0.5 * (virials + virials.transpose(0, 2, 1)) / crystals.volumes[:, None, None]
        totals = np.bincount(crystals.owners, found.atom_energies, len(crystals))
        return Evaluation(
            totals / crystals.counts, forces, stress, found.moments, _alone(crystals, graph)
        )

    def _network(self, graph: BondGraph) -> NetworkAnswer:
        """One crystal after the other on a processor, all at once on a graphics processor."""
        if self.device != "cpu":
            from materialabs.oracles.chgnet_network import evaluate_graph

            return evaluate_graph(graph, self.weights, self.device)
        from materialabs.oracles.chgnet_compiled import evaluate_crystal

        with one_blas_thread():
            return NetworkAnswer.concat(
                [evaluate_crystal(part, self.weights) for part in split_graph(graph)]
            )


def _alone(crystals: Crystals, graph: BondGraph) -> tuple[str, ...]:
    """A reason for each crystal with an atom that has no bonds, else nothing."""
    bonded = np.zeros(len(crystals.frac), dtype=bool)
    bonded[graph.first] = bonded[graph.second] = True
    lonely = np.bincount(crystals.owners, ~bonded, len(crystals)) > 0
    return tuple(LONELY if one else "" for one in lonely)


def _chosen(device: str) -> str:
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _refusals(crystals: Crystals) -> list[str]:
    """Why CHGNet has no answer for a crystal; empty where it has."""
    reasons = [""] * len(crystals)
    heavy = np.flatnonzero(crystals.numbers > HEAVIEST)
    for atom in heavy:
        symbol = SYMBOLS[int(crystals.numbers[atom])]
        reasons[crystals.owners[atom]] = f"CHGNet knows no {symbol}: its elements end at Pu"
    for row in np.flatnonzero(crystals.counts == 0):
        reasons[row] = "there are no atoms in this crystal"
    return reasons
