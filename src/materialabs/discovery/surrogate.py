"""A Gaussian process that learns from tens to hundreds of labels, with a kernel made of parts.

The kernel is a sum of terms and each term a product of factors, so that what is known of the
chemistry can be written down: an energy is a sum of what each site brings, of what pairs of sites
bring, and so on (Durrande, Ginsbourger and Roustant, Ann. Fac. Sci. Toulouse 21, 481, 2012). All
settings are found anew from the labels by the largest posterior, with derivatives (Rasmussen and
Williams 2006, equation 5.9); with few labels the prior on them holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from materialabs.discovery.surrogate_factors import Factor, Floats, Inputs, Likenesses
from materialabs.errors import InputError

VARIANCE_SPREAD: Final = 1.5
"""Standard deviation of the logarithm of a term's variance before any label is seen."""

NOISE_SPREAD: Final = 1.5
"""The same of the variance of the noise."""

FURTHEST: Final = 4.0
"""Spreads that a setting may lie from where it starts."""

STEPS: Final = 30
"""Steps of the search for the settings; it starts from those of the last round."""

SMALLEST_VARIANCE: Final = 1e-8
"""Added to the diagonal in units of the labels' variance, so that it can be factorised."""

JOINT_VARIANCE: Final = 1e-6
"""The same for a joint distribution of many candidates, where rounding is larger."""

ROUNDING: Final = (0.0, 1e-6, 1e-4, 1e-2)
"""Shares of a table's mean diagonal that are added to it, until it can be factorised."""


@dataclass(frozen=True)
class Term:
    """A product of factors, by their positions; an empty one is a constant.

    Parameters
    ----------
    factors
        Positions.
    variance
        What the term brings before any label is seen, in units of the labels' variance.
    """

    factors: tuple[int, ...]
    variance: float


@dataclass(frozen=True)
class Kernel:
    """A sum of products of factors, with noise.

    Parameters
    ----------
    factors
        Ways in which candidates are alike.
    terms
        Their products.
    noise
        Variance of what no factor sees, in units of the labels' variance.
    """

    factors: tuple[Factor, ...]
    terms: tuple[Term, ...]
    noise: float = 0.02

    @property
    def start(self) -> Floats:
        """Settings before any label is seen: of the factors, of the terms, of the noise."""
        own = [value for factor in self.factors for value in factor.start]
        return np.array([*own, *(np.log(term.variance) for term in self.terms), np.log(self.noise)])

    @property
    def spread(self) -> Floats:
        """How far each setting may lie from there."""
        own = [value for factor in self.factors for value in factor.spread]
        return np.array([*own, *(VARIANCE_SPREAD for _ in self.terms), NOISE_SPREAD])

    def compared(self, first: Inputs, second: Inputs) -> list[Floats]:
        """What of all factors does not depend on the settings."""
        return [factor.compared(first, second) for factor in self.factors]

    def likenesses(self, compared: Sequence[Floats], settings: Floats) -> list[Likenesses]:
        """The table of each factor with its derivatives."""
        ends = np.cumsum([len(factor.start) for factor in self.factors])
        parts = np.split(settings[: ends[-1]], ends[:-1])
        return [
            factor.likeness(table, part)
            for factor, table, part in zip(self.factors, compared, parts, strict=True)
        ]

    def table(self, found: Sequence[Likenesses], settings: Floats) -> Floats:
        """Covariance [n, m] without noise."""
        return self._sum([table for table, _ in found], settings)

    def itself(self, inputs: Inputs, settings: Floats) -> Floats:
        """Variance of each candidate [n] without noise."""
        return self._sum([factor.itself(inputs) for factor in self.factors], settings)

    def slopes(self, found: Sequence[Likenesses], settings: Floats, weights: Floats) -> Floats:
        """Sum of ``weights`` [n, m] times the derivative by each setting but the noise."""
        tables = [table for table, _ in found]
        by_factor = [np.zeros(len(factor.start)) for factor in self.factors]
        by_term = []
        for term, variance in zip(self.terms, self.variances(settings), strict=True):
            weighted = variance * weights
            by_term.append(np.vdot(weighted, _product(tables, term.factors)))
            for place in term.factors:
                if not found[place][1]:
                    continue
                others = tuple(one for one in term.factors if one != place)
                rest = weighted * _product(tables, others)
                by_factor[place] += [np.vdot(rest, slope) for slope in found[place][1]]
        return np.concatenate([*by_factor, by_term])

    def variances(self, settings: Floats) -> Floats:
        """Variance of each term."""
        return np.asarray(np.exp(settings[-1 - len(self.terms) : -1]))

    def _sum(self, tables: Sequence[Floats], settings: Floats) -> Floats:
        total = np.zeros(tables[0].shape)
        for term, variance in zip(self.terms, self.variances(settings), strict=True):
            total += variance * _product(tables, term.factors)
        return total


@dataclass(eq=False)
class Surrogate:
    """A Gaussian process over candidates.

    Parameters
    ----------
    kernel
        How candidates are alike.
    settings
        Where the search for its settings starts; by default from the prior.
    """

    kernel: Kernel
    settings: Floats | None = None
    _known: Inputs = field(default_factory=dict, repr=False)
    _factor: Floats = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    _weights: Floats = field(default_factory=lambda: np.zeros(0), repr=False)
    _middle: float = 0.0
    _scale: float = 1.0

    def fit(
        self,
        inputs: Inputs,
        labels: Floats,
        *,
        middle: float | None = None,
        scale: float | None = None,
        search: bool = True,
    ) -> Surrogate:
        """Find the settings and condition on the labels; gives itself.

        Parameters
        ----------
        inputs
            Descriptions of the n candidates that are labelled.
        labels
            [n], finite.
        middle
            What is expected far from all labels; by default the labels' mean.
        scale
            How far labels usually lie from there; by default as far as these do.
        search
            Whether the settings are searched for; otherwise they stay where the search starts.
        """
        from scipy.optimize import minimize

        if len(labels) < 2 or not np.isfinite(labels).all():
            raise InputError("A surrogate learns from two finite labels or more.")
        self._middle = float(labels.mean()) if middle is None else middle
        spread = float(np.sqrt(np.mean((labels - self._middle) ** 2))) if scale is None else scale
        self._scale = spread if spread > 0 else 1.0
        target = (labels - self._middle) / self._scale
        compared = self.kernel.compared(inputs, inputs)
        start, reach = self.kernel.start, FURTHEST * self.kernel.spread
        settings = start if self.settings is None else self.settings
        if search:
            settings = minimize(
                self._lost, settings, (compared, target), jac=True, method="L-BFGS-B",
                options={"maxiter": STEPS},
                bounds=list(zip(start - reach, start + reach, strict=True)),
            ).x  # fmt: skip
        self.settings, self._known = np.asarray(settings), inputs
        self._factor = _factorised(self._table(compared), self.noise + SMALLEST_VARIANCE)
        self._weights = _solved(self._factor, target)
        return self

    @property
    def noise(self) -> float:
        """Variance of the noise in units of the labels' variance."""
        return float(np.exp(self._found()[-1]))

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean [m] and standard deviation [m] of the labels of candidates, noise included."""
        mean, reached = self._reached(inputs)
        left = self.kernel.itself(inputs, self._found()) - (reached**2).sum(axis=0)
        deviation = np.sqrt(np.maximum(left, 0.0) + self.noise)
        return self._middle + self._scale * mean, self._scale * deviation

    def draws(self, inputs: Inputs, count: int, *, seed: int | Sequence[int]) -> Floats:
        """Labels of all candidates drawn together [count, m], noise included."""
        mean, reached = self._reached(inputs)
        joint = self._table(self.kernel.compared(inputs, inputs))
        factor = _factorised(joint - reached.T @ reached, self.noise + JOINT_VARIANCE)
        normal = np.random.default_rng(seed).standard_normal((count, len(mean)))
        return np.asarray(self._middle + self._scale * (mean + normal @ factor.T))

    def _reached(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean [m] in units of the labels' spread, and what the labels say of each [n, m]."""
        from scipy.linalg import solve_triangular

        self._found()
        cross = self._table(self.kernel.compared(self._known, inputs))
        reached = solve_triangular(self._factor, cross, lower=True, check_finite=False)
        return np.asarray(cross.T @ self._weights), np.asarray(reached)

    def _table(self, compared: Sequence[Floats]) -> Floats:
        settings = self._found()
        return self.kernel.table(self.kernel.likenesses(compared, settings), settings)

    def _found(self) -> Floats:
        if self.settings is None or not self._known:
            raise InputError("The surrogate has learned nothing yet: call fit first.")
        return self.settings

    def _lost(
        self, settings: Floats, compared: Sequence[Floats], target: Floats
    ) -> tuple[float, Floats]:
        """Minus the logarithm of the posterior of the settings, and its derivatives."""
        noise = float(np.exp(settings[-1]))
        found = self.kernel.likenesses(compared, settings)
        factor = _factorised(self.kernel.table(found, settings), noise + SMALLEST_VARIANCE)
        weights = _solved(factor, target)
        inverse = _solved(factor, np.eye(len(target)))
        pull = np.outer(weights, weights) - inverse
        slopes = self.kernel.slopes(found, settings, pull)
        away = (settings - self.kernel.start) / self.kernel.spread
        loss = 0.5 * target @ weights + np.log(np.diag(factor)).sum() + 0.5 * away @ away
        slope = -0.5 * np.append(slopes, noise * np.trace(pull)) + away / self.kernel.spread
        return float(loss), slope


def _product(tables: Sequence[Floats], places: tuple[int, ...]) -> Floats:
    product = np.ones(tables[0].shape)
    for place in places:
        product = product * tables[place]
    return product


def _factorised(table: Floats, noise: float) -> Floats:
    """Lower factor of a table with noise; more is added where rounding has left it not positive."""
    from scipy.linalg import cholesky

    if not np.isfinite(table).all():
        raise InputError("Candidates cannot be compared: their descriptions are not numbers.")
    for share in ROUNDING:
        more = noise + share * float(np.diag(table).mean()) if share else noise
        with suppress(np.linalg.LinAlgError):
            whole = table + more * np.eye(len(table))
            return np.asarray(cholesky(whole, lower=True, check_finite=False))
    raise InputError("Candidates cannot be compared: the table of their likeness is none.")


def _solved(factor: Floats, right: Floats) -> Floats:
    from scipy.linalg import cho_solve

    return np.asarray(cho_solve((factor, True), right, check_finite=False))
