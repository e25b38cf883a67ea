"""Rank the formulas of a chemical space by what a model says of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.generation.balance import RelaxedBalance
from materialabs.generation.formulas import formulas
from materialabs.networks.heads import Head
from materialabs.predictions import OUT_OF_DOMAIN, Prediction
from materialabs.progress import track
from materialabs.transfer.models import Conditions, TransferModel

Floats = NDArray[np.float64]

DEFAULT_ATOMS: Final = 8
"""Atoms in the largest formula."""

AT_ONCE: Final = 2_000
"""Formulas that are predicted at a time."""

GOALS: Final = ("high", "low")


@dataclass(frozen=True, eq=False)
class Screened:
    """Formulas, the best first.

    Parameters
    ----------
    formulas
        n reduced formulas.
    told
        Their predictions, in the same order.
    goal
        What was sought, in words.
    considered
        Formulas that were ranked.
    label
        For classes: the class that was sought.
    """

    formulas: tuple[str, ...]
    told: Prediction
    goal: str
    considered: int
    label: str = ""

    def __len__(self) -> int:
        return len(self.formulas)

    def table(self) -> list[dict[str, Any]]:
        """One row for each formula, ready to print; for classes with what it was ranked by."""
        sought: list[dict[str, Any]] = [{} for _ in self.formulas]
        if self.label:
            chances = self.told.probability[:, self.told.classes.index(self.label)].tolist()
            sought = [{f"probability of {self.label}": chance} for chance in chances]
        return [
            {"rank": rank, "formula": name, **first, **row}
            for rank, (name, first, row) in enumerate(
                zip(self.formulas, sought, self.told.table(), strict=True), 1
            )
        ]


def screen(
    model: TransferModel,
    elements: str | Sequence[str],
    *,
    goal: str = "high",
    near: float | None = None,
    label: str | None = None,
    atoms: int = DEFAULT_ATOMS,
    balanced: bool = False,
    conditions: Conditions | None = None,
    most: int = 100,
    progress: bool | None = False,
) -> Screened:
    """Rank the possible formulas of some elements by a model.

    Formulas of elements that the model has never seen come last, whatever it says of them.

    Parameters
    ----------
    model
        What ranks.
    elements
        A chemical system such as ``"Li-P-S"``, or symbols.
    goal
        ``"high"`` or ``"low"`` values first.
    near
        A wanted value instead, in the unit of the target even where its logarithm was learned: the
        formulas likeliest to lie close to it first.
    label
        For classes: the class that is wanted; the last by default.
    atoms
        Atoms in the largest formula.
    balanced
        Keep formulas that common oxidation states can balance (Merchant et al. 2023).
    conditions
        What the model asks for besides the formula.
    most
        Formulas that are told.
    progress
        Draw a bar or not; ``None`` draws on a terminal.
    """
    if goal not in GOALS:
        raise InputError(f"The goal of a screening is high or low, not {goal!r}.")
    if most < 1:
        raise InputError("A screening tells one formula or more.")
    rank = _ranking(model.head, goal, near, label)
    system = elements if isinstance(elements, str) else "-".join(elements)
    rule = RelaxedBalance() if balanced else None
    cells = formulas(system, atoms=atoms, rule=rule)
    if not len(cells):
        raise InputError(f"No formula of {system} up to {atoms} atoms is allowed.")
    starts = range(0, len(cells), AT_ONCE)
    parts = [
        model.predict(cells[start : start + AT_ONCE], conditions)
        for start in track(starts, label=f"screening {system}", show=progress)
    ]
    told = Prediction.concat(parts)
    scores = np.where(told.in_domain < OUT_OF_DOMAIN, -np.inf, rank.scores(told))
    order = np.argsort(-scores, kind="stable")[:most]
    return Screened(_names(cells, order), told.take(order), rank.words, len(cells), rank.label)


@dataclass(frozen=True)
class _Ranking:
    """What comes first.

    Parameters
    ----------
    words
        For people.
    scores
        The higher the better [n].
    label
        The class that is sought, where classes are told.
    """

    words: str
    scores: Callable[[Prediction], Floats]
    label: str = ""


def _ranking(head: Head, goal: str, near: float | None, label: str | None) -> _Ranking:
    """What is sought; what does not go with the model is refused before anything is predicted."""
    if head.classes:
        return _by_class(head, goal, near, label)
    if label is not None:
        raise InputError(f"The model tells numbers; there is no class {label!r}.")
    if near is not None:
        wanted = _predicted_value(head, near)
        return _Ranking(
            f"nearest to {near:g} {head.unit}", lambda told: -_expected_distance(told, wanted)
        )
    if goal == "high":
        return _Ranking("highest first", lambda told: told.mean)
    return _Ranking("lowest first", lambda told: -told.mean)


def _by_class(head: Head, goal: str, near: float | None, label: str | None) -> _Ranking:
    if near is not None or goal != "high":
        raise InputError(
            "The model tells classes, not numbers: a screening ranks by the probability of one of "
            f"them ({', '.join(head.classes)}), and knows no low values and none nearby."
        )
    wanted = head.classes[-1] if label is None else label
    if wanted not in head.classes:
        raise InputError(
            f"The model tells {', '.join(head.classes)}; there is no class {wanted!r}."
        )
    place = head.classes.index(wanted)
    return _Ranking(f"most likely {wanted}", lambda told: told.probability[:, place], wanted)


def _predicted_value(head: Head, wanted: float) -> float:
    """A value as the model predicts it: its logarithm where one was learned."""
    if not np.isfinite(wanted) or (head.logarithm and wanted <= 0):
        above = " above zero, since its logarithm was learned" if head.logarithm else ""
        raise InputError(f"A value of {head.title} to be near is a number{above}, not {wanted:g}.")
    return float(np.log10(wanted)) if head.logarithm else wanted


def _expected_distance(told: Prediction, near: float) -> Floats:
    """Root of the mean squared distance from a wanted value [n]."""
    return np.asarray(np.hypot(told.mean - near, told.std))


def _names(cells: Compositions, order: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(cells[order].reduced_formulas())
