"""What a user wants of candidates, as filters that say what they refused and why.

A filter is called with crystals and answers true for those it keeps; ``reason`` says in words
why it refuses the others. Any class with these two can stand beside the ones here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import (
    ATOMIC_MASS,
    HAZARD_LISTS,
    IS_RADIOACTIVE,
    PRICE,
    SYMBOLS,
    atomic_number,
)
from materialabs.errors import InputError, NotFound
from materialabs.generation.balance import FormulaRule, StrictBalance
from materialabs.units import GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM


@runtime_checkable
class Filter(Protocol):
    """Anything that keeps some crystals and says why it refuses the others."""

    @property
    def reason(self) -> str:
        """Why a crystal is refused, to follow its name: "has lead"."""
        ...

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        ...


@dataclass(frozen=True)
class FormulaFilter:
    """Keep crystals whose formula a rule allows; by default charge balance with listed states."""

    rule: FormulaRule = field(default_factory=StrictBalance)

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"its formula fails {type(self.rule).__name__}"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        return self.rule(crystals.compositions)


@dataclass(frozen=True)
class LargestPrice:
    """Keep crystals whose elements cost at most so much; one without a known price is refused.

    Parameters
    ----------
    dollars_per_kg
        US dollars a kilogram, weighed by mass over the prices of the pure elements
        (``materialabs.elements.PRICE``: mostly of 2013, good to a factor of a few).
    """

    dollars_per_kg: float

    def __post_init__(self) -> None:
        _check_from_zero(self.dollars_per_kg, "price")

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"its elements cost more than {self.dollars_per_kg:g} USD/kg, or have no price"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        return np.asarray(element_prices(crystals.compositions) <= self.dollars_per_kg)


def element_prices(compositions: Compositions) -> NDArray[np.float64]:
    """Price of the elements in each composition [n], USD/kg; NaN where one has no price."""
    masses = compositions.amounts * ATOMIC_MASS[compositions.elements]
    cost = _row_sums(masses * PRICE[compositions.elements], compositions)
    return np.asarray(cost / _row_sums(masses, compositions))


@dataclass(frozen=True)
class WithoutElements:
    """Keep crystals that have none of these elements."""

    symbols: tuple[str, ...]

    def __init__(self, symbols: Sequence[str]) -> None:
        object.__setattr__(self, "symbols", _checked_symbols(symbols))

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"it has one of {', '.join(self.symbols)}"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        compositions = crystals.compositions
        return ~_any_of(_table(self.symbols)[compositions.elements], compositions)


@dataclass(frozen=True)
class OnlyElements:
    """Keep crystals that have no other elements than these."""

    symbols: tuple[str, ...]

    def __init__(self, symbols: Sequence[str]) -> None:
        object.__setattr__(self, "symbols", _checked_symbols(symbols))

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"it has an element beside {', '.join(self.symbols)}"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        compositions = crystals.compositions
        return ~_any_of(~_table(self.symbols)[compositions.elements], compositions)


@dataclass(frozen=True)
class RequiredElements:
    """Keep crystals that have all of these elements."""

    symbols: tuple[str, ...]

    def __init__(self, symbols: Sequence[str]) -> None:
        object.__setattr__(self, "symbols", _checked_symbols(symbols))

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"it lacks one of {', '.join(self.symbols)}"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        wanted = [atomic_number(symbol) for symbol in self.symbols]
        return np.asarray((crystals.compositions.dense(wanted) > 0).all(axis=1))


DEFAULT_HAZARDS: Final = ("RoHS", "ICH Q3D class 1", "CLP acute")
"""Lists of hazardous elements that are avoided by default: As, Be, Cd, Hg, Pb, Se, Tl and U."""


@dataclass(frozen=True)
class WithoutToxicElements:
    """Keep crystals without elements that published lists call toxic.

    A list judges the element, not the compound: the toxicity of a compound can be far from it.

    Parameters
    ----------
    lists
        Names in ``materialabs.elements.HAZARD_LISTS``, which gives source and elements of each.
    """

    lists: tuple[str, ...] = DEFAULT_HAZARDS

    def __post_init__(self) -> None:
        for name in self.lists:
            if name not in HAZARD_LISTS:
                raise NotFound(
                    f"There is no hazard list {name!r}; there are {', '.join(HAZARD_LISTS)}."
                )

    @cached_property
    def symbols(self) -> tuple[str, ...]:
        """The elements that are avoided."""
        return _checked_symbols(
            [symbol for name in self.lists for symbol in HAZARD_LISTS[name].symbols]
        )

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"it has one of {', '.join(self.symbols)}, toxic by {', '.join(self.lists)}"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        return WithoutElements(self.symbols)(crystals)


@dataclass(frozen=True)
class WithoutRadioactiveElements:
    """Keep crystals of elements that have a stable isotope, bismuth among them."""

    reason: str = "it has a radioactive element"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        compositions = crystals.compositions
        return ~_any_of(IS_RADIOACTIVE[compositions.elements], compositions)


@dataclass(frozen=True)
class SmallestDistance:
    """Keep crystals in which no two atoms are nearer than this, periodic images included.

    Parameters
    ----------
    angstrom
        The smallest distance allowed. Sites that are never occupied at the same time may
        coincide.
    """

    angstrom: float

    def __post_init__(self) -> None:
        _check_from_zero(self.angstrom, "distance")

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"two of its atoms are nearer than {self.angstrom:g} angstrom"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        from materialabs.crystals.validate_kernels import closest_pairs

        occupancy = crystals.occupancy
        share = np.ones(len(crystals.frac)) if occupancy is None else occupancy.totals()
        nearest, _ = closest_pairs(
            crystals.lattice,
            crystals.frac,
            crystals.offsets,
            crystals.pbc,
            np.ascontiguousarray(share, dtype=np.float64),
            self.angstrom,
        )
        return np.asarray(np.isinf(nearest))


@dataclass(frozen=True)
class AtomCount:
    """Keep crystals with a number of atoms in the cell between two limits, both allowed."""

    fewest: int = 1
    most: int = 1_000_000

    def __post_init__(self) -> None:
        _check_range(self.fewest, self.most, "number of atoms")

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"its cell has fewer than {self.fewest} or more than {self.most} atoms"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        return np.asarray((crystals.counts >= self.fewest) & (crystals.counts <= self.most))


@dataclass(frozen=True)
class DensityRange:
    """Keep crystals with a mass density between two limits in g/cm^3, both allowed."""

    lowest: float = 0.0
    highest: float = np.inf

    def __post_init__(self) -> None:
        _check_range(self.lowest, self.highest, "density")

    @property
    def reason(self) -> str:
        """Why a crystal is refused."""
        return f"its density is below {self.lowest:g} or above {self.highest:g} g/cm^3"

    def __call__(self, crystals: Crystals) -> NDArray[np.bool_]:
        """True for the crystals [n] that are kept."""
        values = densities(crystals)
        return np.asarray((values >= self.lowest) & (values <= self.highest))


def densities(crystals: Crystals) -> NDArray[np.float64]:
    """Mass density of each crystal [n], g/cm^3, partial occupancies counted as fractions."""
    compositions = crystals.compositions
    masses = _row_sums(compositions.amounts * ATOMIC_MASS[compositions.elements], compositions)
    return np.asarray(
        masses / crystals.volumes * GRAM_PER_CUBIC_CENTIMETRE_PER_AMU_PER_CUBIC_ANGSTROM
    )


@dataclass(frozen=True, eq=False)
class FilterReport:
    """What a row of filters did.

    Parameters
    ----------
    reasons
        For each crystal [n], why the first filter that refused it did so, or ``None``.
    refused
        Reason and number of crystals, in the order of the filters.
    """

    reasons: tuple[str | None, ...]
    refused: tuple[tuple[str, int], ...]

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """True for the crystals [n] that all filters keep."""
        return np.array([reason is None for reason in self.reasons], dtype=bool)

    def __str__(self) -> str:
        lines = [f"{int(self.kept.sum())} of {len(self.reasons)} crystals kept"]
        lines += [f"{count} refused: {reason}" for reason, count in self.refused if count]
        return "\n".join(lines)


def apply(filters: Sequence[Filter], crystals: Crystals) -> tuple[Crystals, FilterReport]:
    """Keep what every filter keeps, and say of the rest which filter refused it first.

    A filter sees only what the filters before it kept, so put the cheap ones first.
    """
    reasons: list[str | None] = [None] * len(crystals)
    refused: list[tuple[str, int]] = []
    rows = np.arange(len(crystals), dtype=np.int64)
    for condition in filters:
        keep = np.asarray(condition(crystals[rows]), dtype=bool)
        if keep.shape != rows.shape:
            raise InputError(
                f"The filter {type(condition).__name__} answers for {keep.size} of {len(rows)} "
                "crystals: it must give one truth value for each."
            )
        for row in rows[~keep]:
            reasons[row] = condition.reason
        refused.append((condition.reason, int((~keep).sum())))
        rows = rows[keep]
    return crystals[rows], FilterReport(tuple(reasons), tuple(refused))


def _row_sums(values: NDArray[np.float64], compositions: Compositions) -> NDArray[np.float64]:
    rows = np.repeat(np.arange(len(compositions)), np.diff(compositions.offsets))
    return np.bincount(rows, values, minlength=len(compositions)).astype(np.float64)


def _any_of(marked: NDArray[np.bool_], compositions: Compositions) -> NDArray[np.bool_]:
    """True for compositions [n] with a marked entry."""
    return np.asarray(_row_sums(marked.astype(np.float64), compositions) > 0)


def _table(symbols: Sequence[str]) -> NDArray[np.bool_]:
    """True for these elements, by atomic number [119]."""
    table = np.zeros(len(SYMBOLS), dtype=bool)
    table[[atomic_number(symbol) for symbol in symbols]] = True
    return table


def _checked_symbols(symbols: Sequence[str]) -> tuple[str, ...]:
    if isinstance(symbols, str) or not symbols:
        raise InputError("Give the elements as a list of symbols, for example ['Pb', 'Cd'].")
    return tuple(SYMBOLS[z] for z in sorted({atomic_number(symbol) for symbol in symbols}))


def _check_from_zero(value: float, what: str) -> None:
    if not value >= 0:
        raise InputError(f"A {what} is a number from zero; got {value!r}.")


def _check_range(lowest: float, highest: float, what: str) -> None:
    if not lowest <= highest:
        raise InputError(f"No {what} is at least {lowest:g} and at most {highest:g}.")
