"""Why a model says what it says: exact Shapley values of elements and of kinds of descriptors.

The Shapley value of a player is its mean contribution over all orders in which players can join
(L. S. Shapley 1953; S. Lundberg and S.-I. Lee, NeurIPS 2017). It is computed from all 2^n
coalitions, not sampled; the values add up to the prediction less the starting point.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import factorial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.descriptors import Descriptors
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError
from materialabs.transfer.described import ALLOYING, FRACTIONS, STATISTICS, Described
from materialabs.transfer.models import Conditions, TransferModel

Floats = NDArray[np.float64]

MOST_PLAYERS: Final = 12
"""4,096 coalitions; the elements of no usual formula are more."""

AT_ONCE: Final = 64
"""Coalitions that are worked out together."""

BACKGROUND: Final = 16
"""Known compositions that stand in for what is taken away."""

BY_NETWORKS: Final = "the formula, as networks read it"
"""What takes the place of descriptors for networks, which see the composition itself."""

THEMES: Final = (
    ("sizes", ("covalent_radius", "molar_volume", "vdw_radius")),
    ("electronegativity and ionicity", ("electronegativity", "ionic character")),
    ("electron shells", ("valence", "unfilled", "share of")),
    ("ionisation and affinity", ("ionization_energy", "electron_affinity")),
    ("place in the periodic table", ("atomic_number", "mendeleev", "group", "period", "mass")),
    ("melting points", ("melting_point",)),
    ("stoichiometry", ("number of elements", "norm")),
)
"""Kinds of physical statistics, by words in their names; the first that fits counts."""


@dataclass(frozen=True)
class Contribution:
    """What one element or one kind of descriptor adds to a prediction."""

    name: str
    value: float


@dataclass(frozen=True)
class Explanation:
    """A prediction taken apart.

    Parameters
    ----------
    formula
        What was predicted.
    prediction
        The value, or the probability of ``label``.
    unit
        Of the values.
    label
        The class that is explained; empty for numbers.
    usual
        Mean prediction over known compositions: where both sums start.
    elements
        What each element adds: the formula is built up from its elements in every order, the
        present ones sharing the atoms in their own proportions.
    descriptors
        What each kind of descriptor adds: those taken away are those of known compositions.
    """

    formula: str
    prediction: float
    unit: str
    label: str
    usual: float
    elements: tuple[Contribution, ...]
    descriptors: tuple[Contribution, ...]

    def table(self) -> list[dict[str, Any]]:
        """One row for each contribution, the largest of each kind first."""
        return [
            {"kind": kind, "name": one.name, "adds": one.value}
            for kind, parts in (("element", self.elements), ("descriptors", self.descriptors))
            for one in sorted(parts, key=lambda part: -abs(part.value))
        ]


def explain(
    model: TransferModel,
    formula: str,
    conditions: Conditions | None = None,
    *,
    label: str | None = None,
) -> Explanation:
    """Take a prediction apart into what its elements and what its descriptors add.

    Parameters
    ----------
    model
        What predicts.
    formula
        Of up to twelve elements.
    conditions
        What the model asks for besides.
    label
        For classes: whose probability; the most likely by default.
    """
    cells = Compositions.parse([formula])
    if len(cells.elements) > MOST_PLAYERS:
        raise InputError(f"Formulas of up to {MOST_PLAYERS} elements are explained.")
    known = Compositions.parse(model.card["background"])
    own = model.described(cells, conditions)
    told = model.means(own)
    place = _place(model, told, label)

    def values(described: Described) -> Floats:
        return model.means(described)[:, place]

    background = model.described(known, conditions)
    usual = float(values(background).mean())
    return Explanation(
        cells.reduced_formulas()[0],
        float(values(own)[0]),
        model.head.predicted_unit,
        model.head.classes[place] if model.head.classes else "",
        usual,
        _of_elements(cells, usual, lambda some: values(model.described(some, conditions))),
        _of_descriptors(own, background, values, model.has_networks),
    )


def shapley_values(players: int, worth: Floats) -> Floats:
    """Exact Shapley values of a game.

    Parameters
    ----------
    players
        Number of players p.
    worth
        [2^p], what each coalition reaches; bit i of its place says whether player i is in it.
    """
    coalitions = np.arange(2**players)
    sizes = np.array([int(one).bit_count() for one in coalitions])
    orders = np.array([
        factorial(size) * factorial(players - size - 1) / factorial(players) if size < players
        else 0.0
        for size in range(players + 1)
    ])  # fmt: skip
    found = np.zeros(players)
    for player in range(players):
        without = coalitions[(coalitions >> player) & 1 == 0]
        gain = worth[without | (1 << player)] - worth[without]
        found[player] = np.sum(orders[sizes[without]] * gain)
    return found


def background_of(compositions: Compositions, seed: int = 0) -> list[str]:
    """A few formulas of a table that stand for the usual composition."""
    formulas = sorted(set(compositions.formulas()))
    chosen = np.random.default_rng(seed).permutation(len(formulas))[:BACKGROUND]
    return [formulas[place] for place in sorted(chosen.tolist())]


def _place(model: TransferModel, mean: Floats, label: str | None) -> int:
    """The column that is explained."""
    classes = model.head.classes
    if label is None:
        return int(mean[0].argmax())
    if not classes:
        raise InputError(f"The model tells numbers; there is no class {label!r}.")
    if label not in classes:
        raise InputError(f"The model tells {', '.join(classes)}; there is no class {label!r}.")
    return classes.index(label)


def _of_elements(
    cells: Compositions, usual: float, values: Callable[[Compositions], Floats]
) -> tuple[Contribution, ...]:
    """Shapley values of the elements; without any, the prediction is the usual one."""
    amounts = list(next(iter(cells)).items())
    players = len(amounts)
    some = [
        dict(pair for place, pair in enumerate(amounts) if coalition >> place & 1)
        for coalition in range(1, 2**players)
    ]
    worth = np.concatenate([[usual], values(Compositions.from_dicts(some))])
    found = shapley_values(players, worth)
    return tuple(
        Contribution(SYMBOLS[number], float(value))
        for (number, _), value in zip(amounts, found, strict=True)
    )


def _of_descriptors(
    own: Described, background: Described, values: Callable[[Described], Floats], networks: bool
) -> tuple[Contribution, ...]:
    """Shapley values of kinds of descriptors against known compositions."""
    kinds = _kinds(own)
    names = list(dict.fromkeys(one for table in kinds.values() for one in table))
    names += [BY_NETWORKS] * networks
    coalitions = np.arange(2 ** len(names))
    worth = np.concatenate([
        values(_mixed(own, background, kinds, names, some)).reshape(len(some), -1).mean(axis=1)
        for some in np.array_split(coalitions, -(-len(coalitions) // AT_ONCE))
    ])  # fmt: skip
    found = shapley_values(len(names), worth)
    return tuple(Contribution(name, float(value)) for name, value in zip(names, found, strict=True))


def _kinds(described: Described) -> dict[str, list[str]]:
    """For each block, the kind of each of its columns; all that sources say is of one kind.

    Every kind more doubles the coalitions, so that their number must not grow with the sources.
    """
    told = f"calculated knowledge: {', '.join(described.sources)}"
    titles = {ALLOYING: "Miedema's model", FRACTIONS: "which elements"}
    return {
        name: (
            [_theme(column) for column in block.names] if name == STATISTICS
            else [titles.get(name, told)] * len(block.names)
        )
        for name, block in described.blocks.items()
    }  # fmt: skip


def _theme(column: str) -> str:
    for theme, words in THEMES:
        if any(word in column for word in words):
            return theme
    return "other"


def _mixed(
    own: Described, background: Described, kinds: dict[str, list[str]], names: list[str],
    coalitions: NDArray[np.int64],
) -> Described:  # fmt: skip
    """For each coalition the known compositions, its kinds of descriptors taken from the formula.

    Coalition after coalition, each with all rows of the background.
    """
    blocks = {}
    for name, block in background.blocks.items():
        player = np.array([names.index(one) for one in kinds[name]])
        taken = (coalitions[:, None] >> player & 1).astype(bool)
        values = np.where(taken[:, None, :], own.blocks[name].values, block.values)
        blocks[name] = Descriptors(values.reshape(-1, values.shape[2]), block.names)
    rows = np.tile(np.arange(len(background)), len(coalitions))
    if BY_NETWORKS in names:
        taken = (coalitions >> names.index(BY_NETWORKS) & 1).astype(bool)
        rows = np.where(np.repeat(taken, len(background)), len(background), rows)
    cells = Compositions.concat([background.compositions, own.compositions])[rows]
    return Described(cells, blocks, background.conditions[np.zeros(len(rows), dtype=np.int64)])
