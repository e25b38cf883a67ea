"""A small model of energies that learns from the campaign's own relaxations alone.

It answers where no trained network does. Bayesian linear regression on random Fourier features
(Rahimi and Recht, NIPS 2007) of a crystal's fractions, of its elements' statistics and of how it
is built: a Gaussian process in all but name, whose members are draws from the posterior, so that
errors that candidates share cancel in hull distances.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.descriptors import composition_descriptors
from materialabs.crystals.structure_descriptors import structure_descriptors
from materialabs.errors import InputError
from materialabs.levels import Energies
from materialabs.predictions import Prediction

Floats = NDArray[np.float64]

FEATURES: Final = 256
"""Random features; errors of the kernel fall as one over the root of their number."""

MEMBERS: Final = 16
"""Draws from the posterior."""

REACH: Final = 1.0
"""Length scale of the kernel, in root mean square distances between the crystals learned from."""

NOISES: Final = (0.01, 0.02, 0.04, 0.08)
"""Standard deviations of noise that are tried, eV/atom: relaxation and missing features."""

LARGEST_PRIOR: Final = 1.0
"""Largest standard deviation of formation energies before any is known, eV/atom."""

FEWEST: Final = 3
"""Crystals that it learns from at least."""

STRUCTURE_WEIGHT: Final = 0.5
"""Weight of how a crystal is built beside its composition, in squared distances."""


@dataclass(frozen=True, eq=False)
class CampaignModel:
    """Formation energies learned from a campaign's own results; predicts at their level.

    Parameters
    ----------
    elements
        Of the system.
    scale
        Centre and width of each descriptor [d]; the width holds its weight.
    waves, phases
        Random features: [d, f] and [f].
    weights, factor
        Mean of the posterior [f] and a factor of its covariance [f, f].
    middle, noise
        Mean of the energies, and noise, eV/atom.
    labels
        What was learned from, for level and kind.
    """

    elements: tuple[int, ...]
    scale: tuple[Floats, Floats]
    waves: Floats
    phases: Floats
    weights: Floats
    factor: Floats
    middle: float
    noise: float
    labels: Energies
    seed: int

    @classmethod
    def fit(
        cls, crystals: Crystals, labels: Energies, elements: tuple[int, ...], *, seed: int
    ) -> CampaignModel:
        """Learn from starts and the energies that they relaxed to.

        Parameters
        ----------
        crystals
            As they were generated: what will be asked is unrelaxed too.
        labels
            Formation energies, eV/atom.
        elements
            Of the system.
        seed
            Of features and members.
        """
        if len(crystals) < FEWEST:
            raise InputError(f"The model learns from {FEWEST} crystals or more.")
        x, share = _described(crystals, elements)
        centre, width = x.mean(axis=0), x.std(axis=0)
        width = np.where(width > 1e-9, width / share, np.inf)
        inside = (x - centre) / width
        rng = np.random.default_rng(seed)
        apart = np.sqrt(max(2.0 * inside.var(axis=0).sum(), 1e-9))
        waves = rng.standard_normal((x.shape[1], FEATURES)) / (REACH * apart)
        phases = rng.uniform(0.0, 2.0 * np.pi, FEATURES)
        features = _waved(inside, waves, phases)
        middle = float(labels.values.mean())
        target = labels.values - middle
        prior = float(np.clip(target.std(), 0.05, LARGEST_PRIOR))
        best = max(
            (_posterior(features, target, prior, noise) for noise in NOISES), key=lambda one: one[0]
        )
        return cls(
            elements, (centre, width), waves, phases, best[1], best[2], middle, best[3], labels,
            seed,
        )  # fmt: skip

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Formation energies with members, at the level learned from; relaxed or not is alike."""
        del relaxed
        x, _ = _described(crystals, self.elements)
        inside = (x - self.scale[0]) / self.scale[1]
        features = _waved(inside, self.waves, self.phases)
        rng = np.random.default_rng(self.seed + 1)
        draws = self.weights + rng.standard_normal((MEMBERS, FEATURES)) @ self.factor.T
        spread = np.sqrt(((features @ self.factor) ** 2).sum(axis=1) + self.noise**2)
        return Prediction(
            self.middle + features @ self.weights,
            spread,
            "eV/atom",
            f"campaign model of {len(self.labels)} relaxations",
            level=self.labels.level,
            kind=self.labels.kind,
            quantity="formation energy",
            members=self.middle + draws @ features.T,
        )


def _described(crystals: Crystals, elements: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Descriptors [n, d] and the weight of each column: three parts that count as wholes."""
    compositions = crystals.compositions
    parts = (
        compositions.fractions(elements),
        composition_descriptors(compositions).values,
        structure_descriptors(crystals).values,
    )
    shares = [
        np.full(part.shape[1], np.sqrt(weight / part.shape[1]))
        for part, weight in zip(parts, (1.0, 1.0, STRUCTURE_WEIGHT), strict=True)
    ]
    return np.nan_to_num(np.concatenate(parts, axis=1)), np.concatenate(shares)


def _waved(inside: Floats, waves: Floats, phases: Floats) -> Floats:
    return np.asarray(np.sqrt(2.0 / FEATURES) * np.cos(inside @ waves + phases))


def _posterior(
    features: Floats, target: Floats, prior: float, noise: float
) -> tuple[float, Floats, Floats, float]:
    """Log evidence, mean and a factor of the covariance of the weights (Bishop 2006, 3.5)."""
    precision = features.T @ features / noise**2 + np.eye(FEATURES) / prior**2
    lower = np.linalg.cholesky(precision)
    mean = np.linalg.solve(precision, features.T @ target / noise**2)
    left = target - features @ mean
    evidence = (
        -0.5 * (left @ left / noise**2 + mean @ mean / prior**2)
        - len(target) * np.log(noise)
        - FEATURES * np.log(prior)
        - np.log(np.diag(lower)).sum()
    )
    factor = np.asarray(np.linalg.inv(lower).T, dtype=np.float64)
    return float(evidence), np.asarray(mean, dtype=np.float64), factor, noise
