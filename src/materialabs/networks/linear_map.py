"""Bayesian linear regression of the difference of two levels on composition and a smooth basis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError

Floats = NDArray[np.float64]

ELEMENTS: Final = len(SYMBOLS)


@dataclass(frozen=True)
class Usual:
    """How far two energies usually are apart, before any pair is known.

    Parameters
    ----------
    constant
        eV/atom; prior standard deviation of the part that all elements share.
    shift
        eV; prior standard deviation of an element's shift.
    noise
        eV/atom; scatter of the difference about the shifts.
    """

    constant: float
    shift: float
    noise: float


SAME_LEVEL: Final = Usual(0.02, 0.05, 0.05)
"""What a network of the oracle's own level is off by in a system that it has not learned from."""

SAME_KIND: Final = Usual(0.03, 0.1, 0.1)
"""Energies of one kind at two levels: mixing corrections and +U move formation energies by tenths
of an eV at most (Wang et al., Sci. Rep. 11, 2021), and those of elements are zero."""

OTHER_KIND: Final = Usual(8.0, 8.0, 0.1)
"""Formation and total energies: an element's total energy is 0 to -13 eV in PBE."""

SHIFTS_TRIED: Final = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0, 8.0)
"""eV; prior standard deviations among which the evidence chooses."""

NOISES_TRIED: Final = (1e-4, 0.003, 0.01, 0.02, 0.04, 0.08, 0.15)
"""eV/atom; scatters, beyond the prediction's own error, among which the evidence chooses."""

HABIT: Final = 1.5
"""How strongly the widths keep to those before any pair: a factor e^1.5 is one deviation."""

RESIDUALS_TRIED: Final = (0.01, 0.03, 0.1, 0.3)
"""eV/atom; sizes of the smooth residual among which the evidence chooses."""

FEWEST_FOR_EVIDENCE: Final = 10
"""Pairs from which the data choose the widths of the priors."""

MOST_FOR_EVIDENCE: Final = 1_000
"""Pairs that the choice looks at; more do not change it and cost time."""

WAVES: Final = 150
"""Random Fourier features of the residual (Rahimi and Recht, 2007)."""

WAVELENGTH: Final = 2.0
"""Length scale of the residual in standard deviations of the features, over sqrt(dimension)."""

OUTLIER: Final = 3.0
"""Standard deviations beyond which a pair's weight falls (Huber, Ann. Math. Stat. 35, 1964)."""


@dataclass(frozen=True, eq=False)
class Residual:
    """A smooth random basis over compositions and features.

    Parameters
    ----------
    centre, scale
        [d], what makes the inputs of unit variance.
    waves, phases
        [d, w] and [w], of the cosines.
    """

    centre: Floats
    scale: Floats
    waves: Floats
    phases: Floats

    @classmethod
    def along(cls, x: Floats, features: NDArray[Any] | None, *, seed: int) -> Self:
        """Draw a basis for inputs like these."""
        inputs = _inputs(x, features)
        scale = inputs.std(axis=0)
        scale = np.where(scale > 1e-9, scale, np.inf)
        random = np.random.default_rng(seed)
        varied = max(int(np.isfinite(scale).sum()), 1)
        waves = random.normal(0.0, 1.0 / (WAVELENGTH * np.sqrt(varied)), (len(scale), WAVES))
        return cls(inputs.mean(axis=0), scale, waves, random.uniform(0.0, 2.0 * np.pi, WAVES))

    def basis(self, x: Floats, features: NDArray[Any] | None) -> Floats:
        """[n, w], with squares that sum to about one."""
        inputs = _inputs(x, features)
        if inputs.shape[1] != len(self.centre):
            raise InputError(
                "The features do not match those that the level map was learned with "
                f"({inputs.shape[1] - ELEMENTS} for {len(self.centre) - ELEMENTS})."
            )
        turned = ((inputs - self.centre) / self.scale) @ self.waves + self.phases
        return np.asarray(np.cos(turned) * np.sqrt(2.0 / WAVES))


@dataclass(frozen=True, eq=False)
class LinearMap:
    """Shifts with their uncertainty.

    Parameters
    ----------
    weights, covariance
        [k], [k, k]: of one constant, of 119 elements, and of the residual's basis.
    noise
        eV/atom, scatter beyond the prediction's own error.
    residual
        The smooth basis, where there is one.
    """

    weights: Floats
    covariance: Floats
    noise: float
    residual: Residual | None = None

    def shift(self, x: Floats, features: NDArray[Any] | None, std: Floats) -> tuple[Floats, Floats]:
        """Shift [n], and standard deviation [n] of the mapped value, eV/atom."""
        return self.shift_of(_table(x, features, self.residual), std)

    def shift_of(self, table: Floats, std: Floats) -> tuple[Floats, Floats]:
        """The same from the columns [n, k] of the regression."""
        variance = np.einsum("ij,jk,ik->i", table, self.covariance, table, optimize=True)
        return table @ self.weights, np.sqrt(np.maximum(variance, 0) + self.noise**2 + std**2)

    def of_elements(self) -> tuple[Floats, Floats]:
        """Shift and standard deviation [119] of each element, the constant included, eV."""
        table = np.hstack([np.ones((ELEMENTS, 1)), np.eye(ELEMENTS)])
        used = table.shape[1]
        variance = np.einsum("ij,jk,ik->i", table, self.covariance[:used, :used], table)
        return table @ self.weights[:used], np.sqrt(np.maximum(variance, 0.0))


def fractions(compositions: Compositions) -> Floats:
    """Atomic fractions [n, 119] by atomic number."""
    return compositions.fractions(range(ELEMENTS))


@dataclass(frozen=True)
class Widths:
    """Widths of the priors and of the noise, eV and eV/atom."""

    shift: float
    noise: float
    residual: float = 0.0

    def prior(self, residual: Residual | None, usual: Usual) -> Floats:
        """Prior standard deviations of all weights [k]."""
        waves = 0 if residual is None else WAVES
        return np.concatenate(
            [
                [usual.constant],
                np.full(ELEMENTS, self.shift),
                np.full(waves, self.residual),
            ]
        )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Labelled pairs to learn a map from.

    Parameters
    ----------
    x
        [n, 119], atomic fractions.
    gaps
        [n], target minus prediction, eV/atom.
    std
        [n], standard deviations of the predictions, eV/atom.
    features
        [n, d], inputs of the residual beside the composition, or None.
    """

    x: Floats
    gaps: Floats
    std: Floats
    features: NDArray[Any] | None = None


def fit_map(
    pairs: Pairs, residual: Residual | None, folds: NDArray[np.int64], usual: Usual
) -> tuple[LinearMap, Floats]:
    """Learn shifts, and a residual where there is a basis.

    Parameters
    ----------
    pairs
        What to learn from.
    residual
        Basis of the residual, or None.
    folds
        [n], parts that are left out in turn to see how large errors are.
    usual
        How far such energies are apart, which sets the prior while pairs are few.

    Returns
    -------
    The map, and for each pair |error| / standard deviation of a map that has not seen its part.
    """
    table = _table(pairs.x, pairs.features, residual)
    widths = _likeliest(table, pairs, residual, usual)
    prior = widths.prior(residual, usual)
    variance = pairs.std**2 + widths.noise**2
    first = _Sums.of(table, pairs.gaps, 1.0 / variance).posterior(prior)[1]
    far = np.abs(pairs.gaps - table @ first) / np.sqrt(variance)
    weights = 1.0 / np.maximum(1.0, far / OUTLIER) / variance
    parts = {
        int(fold): _Sums.of(table[folds == fold], pairs.gaps[folds == fold], weights[folds == fold])
        for fold in np.unique(folds)
    }
    total = _Sums.total(list(parts.values()))
    scores = np.zeros(len(table))
    for fold, part in parts.items():
        here = folds == fold
        kept = _learned(total.without(part), prior, widths.noise, residual)
        shift, std = kept.shift_of(table[here], pairs.std[here])
        scores[here] = np.abs(pairs.gaps[here] - shift) / std
    return _learned(total, prior, widths.noise, residual), scores


def _learned(sums: _Sums, prior: Floats, noise: float, residual: Residual | None) -> LinearMap:
    _, mean, factor = sums.posterior(prior)
    return LinearMap(mean, _covariance(factor, prior), noise, residual)


def _likeliest(table: Floats, pairs: Pairs, residual: Residual | None, usual: Usual) -> Widths:
    """The widths of largest evidence, one at a time, on some of the pairs where there are many."""
    best = Widths(usual.shift, usual.noise, RESIDUALS_TRIED[0])
    if len(table) < FEWEST_FOR_EVIDENCE:
        return best
    step = -(-len(table) // MOST_FOR_EVIDENCE)
    some, gaps, std = table[::step], pairs.gaps[::step], pairs.std[::step]
    tried = {"noise": NOISES_TRIED, "shift": SHIFTS_TRIED, "residual": RESIDUALS_TRIED}
    if residual is None:
        del tried["residual"]
    known: dict[float, _Sums] = {}

    def evidence(widths: Widths) -> float:
        if widths.noise not in known:
            known[widths.noise] = _Sums.of(some, gaps, 1.0 / (std**2 + widths.noise**2))
        found = known[widths.noise].posterior(widths.prior(residual, usual))[0]
        surprise = np.log(widths.noise / usual.noise), np.log(widths.shift / usual.shift)
        return found - 0.5 * float(np.square(surprise).sum()) / HABIT**2

    for name in (*tried, *tried):
        choices = [replace(best, **{name: value}) for value in tried[name]]
        best = max(choices, key=evidence)
    return best


@dataclass(frozen=True, eq=False)
class _Sums:
    """What the evidence needs of the data: products of the table with itself and the gaps."""

    square: Floats
    mixed: Floats
    gaps: float
    log_weights: float

    @classmethod
    def of(cls, table: Floats, gaps: Floats, weights: Floats) -> _Sums:
        scaled = table * weights[:, None]
        return cls(
            scaled.T @ table,
            scaled.T @ gaps,
            float((weights * gaps**2).sum()),
            float(np.log(weights).sum()),
        )

    @classmethod
    def total(cls, parts: list[_Sums]) -> _Sums:
        return cls(
            np.sum([part.square for part in parts], axis=0),
            np.sum([part.mixed for part in parts], axis=0),
            sum(part.gaps for part in parts),
            sum(part.log_weights for part in parts),
        )

    def without(self, part: _Sums) -> _Sums:
        return _Sums(
            self.square - part.square,
            self.mixed - part.mixed,
            self.gaps - part.gaps,
            self.log_weights - part.log_weights,
        )

    def posterior(self, prior: Floats) -> tuple[float, Floats, Floats]:
        """Log evidence, mean, and the Cholesky factor of I + P^(1/2) A P^(1/2)."""
        matrix = np.eye(len(prior)) + prior[:, None] * self.square * prior
        factor = np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
        half = np.linalg.solve(factor, prior * self.mixed)
        mean = prior * np.linalg.solve(factor.T, half)
        evidence = 0.5 * (self.log_weights - self.gaps + float(half @ half))
        return evidence - float(np.log(np.diag(factor)).sum()), mean, factor


def _covariance(factor: Floats, prior: Floats) -> Floats:
    inverse = np.linalg.solve(factor, np.diag(prior))
    return np.asarray(inverse.T @ inverse)


def _inputs(x: Floats, features: NDArray[Any] | None) -> Floats:
    if features is None:
        return x
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) != len(x):
        raise InputError(f"{len(x)} crystals need features [{len(x)}, d], not {values.shape}.")
    return np.hstack([x, values])


def _table(x: Floats, features: NDArray[Any] | None, residual: Residual | None) -> Floats:
    columns = [np.ones((len(x), 1)), x]
    if residual is not None:
        columns.append(residual.basis(x, features))
    return np.hstack(columns)


def unlearned(usual: Usual) -> LinearMap:
    """The map before any pair: no shift, and as wide as such energies are usually apart."""
    prior = Widths(usual.shift, usual.noise).prior(None, usual)
    return LinearMap(np.zeros(len(prior)), np.diag(prior**2), usual.noise)
