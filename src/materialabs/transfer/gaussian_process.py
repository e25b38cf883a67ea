"""Gaussian processes that weigh several descriptions of a composition against one another.

The covariance of two rows is a sum over blocks of descriptors, each block with a length and a
strength of its own, times one factor for the measuring conditions. Lengths, strengths and noise
are those of the highest marginal likelihood (C. E. Rasmussen and C. K. I. Williams, Gaussian
Processes for Machine Learning, 2006, chapter 5): that is how knowledge from several sources is
weighed without a test row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

TUNED_ROWS: Final = 400
"""Rows, drawn at random, that lengths and strengths are chosen on."""

MOST_ROWS: Final = 5_000
"""Rows that a process remembers; of more, so many are drawn at random (a covariance of 200 MB)."""

MOST_STEPS: Final = 25
"""Evaluations of the likelihood."""

FARTHEST: Final = 6.0
"""Standardised descriptors are cut at this many standard deviations."""

FIRST_NOISE: Final = 0.1
"""Variance of the noise at first, of a target with variance 1."""

SMALLEST_NOISE: Final = 1e-4
"""Variance of the noise, so that covariances stay positive definite."""

ROUNDING: Final = 1e-8
"""The same in parts of all strengths."""

BELIEF: Final = 2.0
"""Standard deviation of what is thought of each logarithm before anything is seen."""

EQUAL: Final = 1e-12
"""Squared distances below this part of the squared lengths are rounding: the rows are equal. Seen
through a short length, what rounding leaves would make covariances indefinite."""

MOST_AWAY: Final = 5.0 * BELIEF
"""How far logarithms are looked for from where they begin."""

ROWS_AT_ONCE: Final = 2_000


@dataclass(frozen=True, eq=False)
class Process:
    """A Gaussian process that has seen its rows.

    Parameters
    ----------
    centres, spreads
        For each block what standardises it; the conditions come last.
    rows
        For each block the standardised rows seen [n, d], float32.
    logs
        Logarithms of lengths (one for each block, the conditions last), strengths (one for each
        block but the conditions) and noise.
    weights
        [n, k], what the covariances are multiplied by.
    middle, scale
        [k], mean and spread of the targets.
    """

    centres: tuple[Floats, ...]
    spreads: tuple[Floats, ...]
    rows: tuple[NDArray[np.float32], ...]
    logs: Floats
    weights: Floats
    middle: Floats
    scale: Floats

    @classmethod
    def fit(cls, blocks: Sequence[Floats], targets: Floats, *, seed: int = 0) -> Self:
        """Choose lengths, strengths and noise, and remember the rows.

        Parameters
        ----------
        blocks
            Tables [n, d] of each block; the last one holds the conditions, possibly no columns.
        targets
            [n, k].
        seed
            Of the rows drawn.
        """
        from scipy.linalg import cho_factor, cho_solve

        random = np.random.default_rng(seed)
        kept = np.sort(random.permutation(len(targets))[:MOST_ROWS])
        centres, spreads, rows = [], [], []
        for block in blocks:
            centres.append(block.mean(axis=0))
            spreads.append(_spread(block))
            rows.append(_standardised(block[kept], centres[-1], spreads[-1]))
        middle, scale = targets.mean(axis=0), _spread(targets)
        values = ((targets - middle) / scale)[kept]
        few = random.permutation(len(kept))[:TUNED_ROWS]
        logs = tuned([one[few] for one in rows], values[few])
        covariance = _covariance(rows, rows, logs)
        covariance[np.diag_indices(len(kept))] += _noise(logs, len(rows) - 1)
        factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
        weights = cho_solve(factor, values, check_finite=False)
        return cls(tuple(centres), tuple(spreads), tuple(rows), logs, weights, middle, scale)

    def answers(self, blocks: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Mean [n, k], and how far from all that was seen [n]: 0 at a row seen, 1 beyond all."""
        means, strange = [], []
        largest = np.exp(self.logs[len(self.rows) : -1]).sum()
        for start in range(0, len(blocks[0]), ROWS_AT_ONCE):
            part = [
                _standardised(block[start : start + ROWS_AT_ONCE], centre, spread)
                for block, centre, spread in zip(blocks, self.centres, self.spreads, strict=True)
            ]
            covariance = _covariance(part, self.rows, self.logs)
            means.append(covariance @ self.weights)
            strange.append(1.0 - covariance.max(axis=1) / largest)
        if not means:
            return np.zeros((0, len(self.middle))), np.zeros(0)
        return np.concatenate(means) * self.scale + self.middle, np.concatenate(strange)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays, for a file."""
        arrays: dict[str, NDArray[Any]] = {
            "logs": self.logs, "weights": self.weights, "middle": self.middle, "scale": self.scale,
        }  # fmt: skip
        for number, row in enumerate(self.rows):
            arrays[f"rows.{number}"] = row
            arrays[f"centre.{number}"] = self.centres[number]
            arrays[f"spread.{number}"] = self.spreads[number]
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Read what :meth:`to_arrays` gave."""
        count = sum(name.startswith("rows.") for name in arrays)
        return cls(
            tuple(arrays[f"centre.{number}"] for number in range(count)),
            tuple(arrays[f"spread.{number}"] for number in range(count)),
            tuple(arrays[f"rows.{number}"] for number in range(count)),
            arrays["logs"], arrays["weights"], arrays["middle"], arrays["scale"],
        )  # fmt: skip


def left_out(blocks: Sequence[Floats], targets: Floats, groups: Rows, noise: float) -> Floats:
    """Errors of a process at the rows of each group when it has seen all others [n, k].

    The process has the settings that :func:`tuned` begins with, but for the noise, and is never
    fitted: with the inverse of the covariance of all rows, leaving a group out costs no more than
    a small system of equations (S. Sundararajan and S. S. Keerthi, Neural Comput. 13, 1103, 2001).

    Parameters
    ----------
    blocks
        Tables [n, d] of each block, the conditions last.
    targets
        [n, k].
    groups
        [n], rows of one group are left out together.
    noise
        Its variance, in variances of the targets.
    """
    rows = [_standardised(one, one.mean(axis=0), _spread(one)) for one in blocks]
    logs = usual_logs(len(rows) - 1)
    covariance = _covariance(rows, rows, logs)
    covariance[np.diag_indices(len(targets))] += noise
    inverse = np.linalg.inv(covariance)
    weights = inverse @ (targets - targets.mean(axis=0))
    errors: Floats = np.empty_like(weights)
    order = np.argsort(groups, kind="stable")
    for some in np.split(order, np.flatnonzero(np.diff(groups[order])) + 1):
        errors[some] = np.linalg.solve(inverse[np.ix_(some, some)], weights[some])
    return errors


def usual_logs(blocks: int) -> Floats:
    """Logarithms of lengths, strengths and noise before anything is seen."""
    logs = np.zeros(2 * blocks + 2)
    logs[blocks + 1 : -1], logs[-1] = -np.log(blocks), np.log(FIRST_NOISE)
    return logs


def tuned(rows: Sequence[NDArray[np.float32]], values: Floats) -> Floats:
    """Logarithms of lengths, strengths and noise with the highest posterior density.

    Parameters
    ----------
    rows
        Standardised tables [n, d] of each block, the conditions last.
    values
        [n, k], standardised targets.
    """
    from scipy.optimize import minimize

    squares = [_squares(one, one) for one in rows]
    start = usual_logs(len(rows) - 1)
    found = minimize(
        surprise, start, args=(squares, values, start), jac=True, method="L-BFGS-B",
        bounds=[(one - MOST_AWAY, one + MOST_AWAY) for one in start],
        options={"maxfun": MOST_STEPS},
    )  # fmt: skip
    return np.asarray(found.x)


def surprise(
    logs: Floats, squares: Sequence[Floats], values: Floats, believed: Floats
) -> tuple[float, Floats]:
    """Negative logarithm of likelihood times belief, up to a constant, and its gradient.

    Parameters
    ----------
    logs, believed
        Logarithms of lengths, strengths and noise; what they are thought to be beforehand.
    squares
        Squared distances [n, n] of each block, the conditions last.
    values
        [n, k], standardised targets.
    """
    from scipy.linalg import cho_factor, cho_solve

    blocks, count, outputs = len(squares) - 1, *values.shape
    lengths, strengths = np.exp(logs[: blocks + 1]), np.exp(logs[blocks + 1 : -1])
    shapes = [_matern(one, length) for one, length in zip(squares, lengths, strict=True)]
    condition, condition_slope = shapes[-1]
    parts = [strengths[b] * shapes[b][0] for b in range(blocks)]
    signal = np.sum(parts, axis=0)
    covariance = signal * condition
    covariance[np.diag_indices(count)] += _noise(logs, blocks)
    factor = cho_factor(covariance, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, values, check_finite=False)
    inverse = cho_solve(factor, np.eye(count), check_finite=False)
    pull = 0.5 * (outputs * inverse - weights @ weights.T)
    slopes = np.empty(len(logs))
    for b in range(blocks):
        slopes[b] = np.sum(pull * condition * shapes[b][1]) * strengths[b]
        slopes[blocks + 1 + b] = np.sum(pull * condition * parts[b])
    slopes[blocks] = np.sum(pull * signal * condition_slope)
    slopes[blocks + 1 : -1] += np.trace(pull) * ROUNDING * strengths
    slopes[-1] = np.trace(pull) * np.exp(logs[-1])
    away = (logs - believed) / BELIEF
    likelihood = 0.5 * np.sum(values * weights) + outputs * np.sum(np.log(np.diag(factor[0])))
    return float(likelihood + 0.5 * away @ away), slopes + away / BELIEF


def _covariance(
    first: Sequence[NDArray[np.float32]], other: Sequence[NDArray[np.float32]], logs: Floats
) -> Floats:
    """Covariance of rows [n, m]: blocks summed, times the factor of the conditions."""
    blocks = len(first) - 1
    strengths = np.exp(logs[blocks + 1 : -1])
    total = np.zeros((len(first[0]), len(other[0])))
    for b in range(blocks):
        total += strengths[b] * _matern(_squares(first[b], other[b]), np.exp(logs[b]))[0]
    if first[-1].shape[1]:
        total *= _matern(_squares(first[-1], other[-1]), np.exp(logs[blocks]))[0]
    return total


def _noise(logs: Floats, blocks: int) -> float:
    """Variance of noise, with enough for equal rows not to make the covariance singular."""
    strength = float(np.exp(logs[blocks + 1 : -1]).sum())
    return float(np.exp(logs[-1])) + SMALLEST_NOISE + ROUNDING * strength


def _matern(squares: Floats, length: float) -> tuple[Floats, Floats]:
    """Matern's covariance with smoothness 5/2, and its slope along the logarithm of the length."""
    reach = np.sqrt(5.0 * squares) / length
    decay = np.exp(-reach)
    return (1.0 + reach + reach**2 / 3.0) * decay, reach**2 * (1.0 + reach) / 3.0 * decay


def _squares(first: NDArray[np.float32], other: NDArray[np.float32]) -> Floats:
    """Squared distances [n, m], divided by the number of columns."""
    a, b = first.astype(np.float64), other.astype(np.float64)
    if not a.shape[1]:
        return np.zeros((len(a), len(b)))
    far = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)
    gaps = far - 2.0 * a @ b.T
    return np.asarray(np.where(gaps > EQUAL * far, gaps, 0.0) / a.shape[1])


def _spread(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.asarray(np.where(spread > 0, spread, 1.0))


def _standardised(block: Floats, centre: Floats, spread: Floats) -> NDArray[np.float32]:
    scaled = (block - centre) / spread
    return np.clip(scaled, -FARTHEST, FARTHEST).astype(np.float32)
