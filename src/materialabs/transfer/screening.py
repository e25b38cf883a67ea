"""Rank the formulas of a chemical space by what a model says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.errors import InputError
from materialabs.generation.balance import RelaxedBalance
from materialabs.generation.formulas import formulas
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
    """

    formulas: tuple[str, ...]
    told: Prediction
    goal: str
    considered: int

    def __len__(self) -> int:
        return len(self.formulas)

    def table(self) -> list[dict[str, Any]]:
        """One row for each formula, ready to print."""
        return [
            {"rank": rank, "formula": name, **row}
            for rank, (name, row) in enumerate(
                zip(self.formulas, self.told.table(), strict=True), 1
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
        A wanted value instead: the formulas likeliest to lie close to it first.
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
    scores, words = _scores(told, goal, near, label)
    scores = np.where(told.in_domain < OUT_OF_DOMAIN, -np.inf, scores)
    order = np.argsort(-scores, kind="stable")[:most]
    return Screened(_names(cells, order), told.take(order), words, len(cells))


def _scores(
    told: Prediction, goal: str, near: float | None, label: str | None
) -> tuple[Floats, str]:
    """The higher the better [n], and what was sought in words."""
    if told.classes:
        wanted = told.classes[-1] if label is None else label
        if wanted not in told.classes:
            raise InputError(
                f"The model tells {', '.join(told.classes)}; there is no class {wanted!r}."
            )
        return told.probability[:, told.classes.index(wanted)], f"most likely {wanted}"
    if near is not None:
        return -_expected_distance(told, near), f"nearest to {near:g} {told.unit}"
    sign = 1.0 if goal == "high" else -1.0
    return sign * told.mean, "highest first" if goal == "high" else "lowest first"


def _expected_distance(told: Prediction, near: float) -> Floats:
    """Root of the mean squared distance from a wanted value [n]."""
    return np.asarray(np.hypot(told.mean - near, told.std))


def _names(cells: Compositions, order: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(cells[order].reduced_formulas())
