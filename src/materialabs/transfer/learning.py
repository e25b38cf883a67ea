"""Learn from rows: strategies are weighed by nested validation, errors become intervals.

Everything that is chosen or scaled here is taken from the rows given: the weights of the
strategies and the widths of the intervals from predictions of folds inside these rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.networks import domain
from materialabs.networks.calibration import Calibration
from materialabs.networks.domain import Domain
from materialabs.networks.error_scale import Signals
from materialabs.networks.heads import Head
from materialabs.networks.inputs import cell_volumes
from materialabs.networks.signals import SPREAD_FLOOR, chemical_groups
from materialabs.networks.splits import Split
from materialabs.predictions import EVERYWHERE, Prediction
from materialabs.transfer.described import STATISTICS, Described
from materialabs.transfer.folds import compound_labels, inner_folds
from materialabs.transfer.probabilities import ClassScale
from materialabs.transfer.strategies import Fitted, Strategy
from materialabs.transfer.weighing import best_shares

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

ZEROS: Final = 0.01
"""Share of exact zeros from which zero is taken for the least value possible."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What strategies say of n compositions.

    Parameters
    ----------
    values
        [s, n, k], the answer of each strategy.
    spreads
        [s, n], what each strategy tells of its own error.
    """

    values: Floats
    spreads: Floats


@dataclass(frozen=True, eq=False)
class Learned:
    """Strategies that have learned, their shares, and how far to trust them.

    Parameters
    ----------
    head
        What is predicted.
    strategies, fitted
        Those with a share, and what they have learned.
    shares
        [s], adding up to one.
    calibration
        Makes intervals of numbers.
    classes
        Makes probabilities of classes.
    domain
        What was learned from; ``None`` where that was too little.
    seen
        [119], how many rows held each element.
    trials
        Error of every strategy on the inner folds, by name; the lower the better.
    """

    head: Head
    strategies: tuple[Strategy, ...]
    fitted: tuple[Fitted, ...]
    shares: Floats
    calibration: Calibration | None
    classes: ClassScale | None
    domain: Domain | None
    seen: NDArray[np.int64]
    trials: dict[str, float]

    def told(self, described: Described, model_id: str = "model/0") -> Prediction:
        """Predictions with calibrated intervals, or probabilities of classes."""
        answers = asked(self.fitted, described)
        mean, score = self._joined(answers), self._score(described)
        if self.classes is not None:
            members = np.stack([self.classes.probabilities(one) for one in answers.values])
            return Prediction(
                mean, members.std(axis=0), "", model_id, quantity=self.head.title,
                in_domain=score, members=members, classes=self.head.classes,
            )  # fmt: skip
        raw = Prediction(
            mean[:, 0], np.zeros(len(mean)), self.head.predicted_unit, model_id,
            level=self.head.level, kind=self.head.kind, quantity=self.head.title,
            in_domain=score, members=answers.values[:, :, 0], bounds=self.head.bounds,
        )  # fmt: skip
        if self.calibration is None or not len(raw):
            return raw
        groups = chemical_groups(described.compositions)
        return self.calibration.applied(raw, signals_of(answers, self.shares), groups)

    def means(self, described: Described) -> Floats:
        """Predicted values [n, 1], or probabilities [n, k], and nothing else."""
        return self._joined(asked(self.fitted, described))

    def _joined(self, answers: Answers) -> Floats:
        mean = np.tensordot(self.shares, answers.values, axes=1)
        if self.classes is not None:
            return self.classes.probabilities(mean)
        return np.asarray(np.clip(mean, *self.head.bounds))

    def _score(self, described: Described) -> Floats:
        """In-domain scores [n]: 0 for an element never seen, NaN where no domain is known."""
        cells = described.compositions
        if self.domain is not None and len(cells):
            features = described.blocks[STATISTICS].values
            return self.domain.judge(features, cells, cell_volumes(None, cells)).score
        present = cells.dense(range(len(self.seen))) > 0
        return np.where((present & (self.seen == 0)).any(axis=1), 0.0, np.nan)


def learn(
    described: Described,
    targets: Floats,
    head: Head,
    groups: Rows,
    strategies: Sequence[Strategy],
    *,
    seed: int = 0,
) -> Learned:
    """Weigh strategies on folds inside these rows, then let those that count learn from all.

    Parameters
    ----------
    described, targets
        n rows and their targets [n, k].
    head
        What is learned.
    groups
        [n], rows of one group are on the same side of every inner fold.
    strategies
        To choose among; each fold learns with copies of its own.
    seed
        The same seed learns the same.
    """
    return Trial.of(described, targets, groups, strategies, seed=seed).learned(head)


@dataclass(frozen=True, eq=False)
class Trial:
    """Strategies tried on folds inside some rows, ready to be weighed.

    Parameters
    ----------
    described, targets
        n rows and their targets [n, k].
    strategies
        To be weighed.
    cuts
        The inner folds.
    outside
        What each strategy says of each row when it has not learned from its fold.
    seed
        The same seed learns the same.
    """

    described: Described
    targets: Floats
    strategies: tuple[Strategy, ...]
    cuts: tuple[Split, ...]
    outside: Answers
    seed: int = 0
    _fitted: dict[str, Fitted] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        described: Described,
        targets: Floats,
        groups: Rows,
        strategies: Sequence[Strategy],
        *,
        seed: int = 0,
    ) -> Self:
        """Try strategies, whose names differ; parameters as in :func:`learn`."""
        names = [one.name for one in strategies]
        if not names or len(set(names)) < len(names):
            raise InputError("A trial needs strategies, each with a name of its own.")
        cuts = tuple(inner_folds(groups, seed=seed))
        outside = out_of_fold(described, targets, strategies, cuts, seed)
        return cls(described, targets, tuple(strategies), cuts, outside, seed)

    def learned(self, head: Head) -> Learned:
        """Weigh the strategies, and let those that count learn from all rows."""
        strategies, outside = self.strategies, self.outside
        described, targets = self.described, self.targets
        shares = best_shares(
            outside.values, targets, self.cuts, classes=bool(head.classes)
        )  # fmt: skip
        trials = {
            one.name: float(np.abs(values - targets).mean())
            for one, values in zip(strategies, outside.values, strict=True)
        }
        bounded = with_bounds(head, targets)
        mean = np.tensordot(shares, outside.values, axes=1)
        calibration = scale = None
        if head.classes:
            scale = ClassScale.fit(mean, targets)
        else:
            calibration = _calibration(
                bounded, mean[:, 0], targets[:, 0], outside, shares, described
            )
        chosen = np.flatnonzero(shares > 0).tolist()
        kept = tuple(strategies[place] for place in chosen)
        return Learned(
            bounded, kept, tuple(self.fitted(one) for one in kept), shares[chosen],
            calibration, scale, _domain(described, self.cuts[0]), _seen(described.compositions),
            trials,
        )  # fmt: skip

    def fitted(self, strategy: Strategy) -> Fitted:
        """The strategy when it has learned from all rows; it learns once."""
        if strategy.name not in self._fitted:
            fresh = deepcopy(strategy)
            self._fitted[strategy.name] = fresh.fit(self.described, self.targets, self.seed)
        return self._fitted[strategy.name]


def out_of_fold(
    described: Described, targets: Floats, strategies: Sequence[Strategy], cuts: Sequence[Split],
    seed: int,
) -> Answers:  # fmt: skip
    """What each strategy says of each row when it has not learned from its fold."""
    values = np.zeros((len(strategies), *targets.shape))
    spreads = np.zeros((len(strategies), len(targets)))
    for cut in cuts:
        learned, judged = described.take(cut.train), described.take(cut.test)
        for place, strategy in enumerate(strategies):
            fresh = deepcopy(strategy).fit(learned, targets[cut.train], seed)
            values[place, cut.test], spreads[place, cut.test] = fresh.answers(judged)
    return Answers(values, spreads)


def asked(fitted: Sequence[Fitted], described: Described) -> Answers:
    """What strategies say, side by side."""
    found = [one.answers(described) for one in fitted]
    return Answers(np.stack([mean for mean, _ in found]), np.stack([one for _, one in found]))


def signals_of(answers: Answers, shares: Floats) -> Signals:
    """What may tell large errors from small ones, each [n]; only strategies with a share speak."""
    used = shares > 0
    values = answers.values[used, :, 0]
    found: dict[str, Floats] = {"mean": np.tensordot(shares[used], values, axes=1)}
    if used.sum() > 1:
        found["log_scale"] = np.log(values.std(axis=0) + SPREAD_FLOOR)
    told = np.tensordot(shares[used], answers.spreads[used], axes=1)
    found["log_spread"] = np.log(told + SPREAD_FLOOR)
    return found


def with_bounds(head: Head, targets: Floats) -> Head:
    """The head with zero as its least value where values never fall below and often stand there.

    Such are band gaps of metals; a quantity that is zero now and then by chance never is often.
    """
    if head.classes or head.logarithm or head.bounds != EVERYWHERE:
        return head
    if targets.min() < 0 or (targets == 0).mean() < ZEROS:
        return head
    return Head(**{**vars(head), "bounds": (0.0, float("inf"))})


def _calibration(
    head: Head, mean: Floats, truth: Floats, outside: Answers, shares: Floats, described: Described
) -> Calibration:  # fmt: skip
    lowest, highest = head.bounds
    compounds = compound_labels(described.compositions)
    several = len(set(compounds)) > 1
    return Calibration.fit(
        np.clip(mean, lowest, highest),
        truth,
        signals_of(outside, shares),
        chemical_groups(described.compositions),
        clusters=compounds if several else [str(row) for row in range(len(mean))],
    )


def _domain(described: Described, cut: Split) -> Domain | None:
    """What was learned from, ranked by the rows of one inner fold."""
    if min(len(cut.train), len(cut.test)) < domain.FEWEST:
        return None
    cells = described.compositions
    held_out = np.zeros(len(cells), dtype=bool)
    held_out[cut.test] = True
    features = described.blocks[STATISTICS].values
    fitted = Domain.fit(features, cells, cell_volumes(None, cells), held_out)
    return Domain(**{**vars(fitted), "element_counts": _seen(cells)})


def _seen(compositions: Compositions) -> NDArray[np.int64]:
    return np.asarray((compositions.dense(range(119)) > 0).sum(axis=0), dtype=np.int64)


def names_of(learned: Learned) -> Iterator[tuple[str, float]]:
    """Each strategy with its share, the largest first."""
    order = np.argsort(-learned.shares, kind="stable")
    return ((learned.strategies[place].name, float(learned.shares[place])) for place in order)
