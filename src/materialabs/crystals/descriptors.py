"""Numbers that describe a composition, as columns: statistics of its elements' properties.

The set follows L. Ward et al., npj Comput. Mater. 2, 16028 (2016) ("Magpie"): stoichiometric
norms, six statistics of each of 22 elemental properties, shares of the valence orbitals, and ionic
character. The properties come from :mod:`materialabs.elements`. The same descriptors of crystal
structures are in :mod:`materialabs.crystals.structure_descriptors`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from materialabs import elements
from materialabs.crystals.compositions import Compositions, chosen_rows
from materialabs.errors import InputError

NORMS: Final = (2, 3, 5, 7, 10)
"""Orders of the norms of the atomic fractions; order 0 is the number of elements."""

SHELLS: Final = {"s": 2, "p": 6, "d": 10, "f": 14}
"""Electrons that fill a shell."""

STATISTICS: Final = ("mean", "average_deviation", "minimum", "maximum", "range", "mode")
"""Statistics over the elements of a composition, the first two weighted by atomic fraction."""

IONIC_SCALE: Final = 0.25
"""Pauling's bond ionicity is 1 - exp(-difference^2 / 4) (L. Pauling 1932)."""

EQUAL_FRACTIONS: Final = 1e-5
"""Fractions that differ by less than this, relatively, are equally abundant."""

CHUNK: Final = 20_000
"""Compositions worked on at once, so that memory stays bounded."""


@dataclass(frozen=True, eq=False)
class Descriptors:
    """A table of descriptors with named columns.

    Parameters
    ----------
    values
        float64 [n, d], finite.
    names
        d names, each with its unit where it has one.
    """

    values: NDArray[np.float64]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InputError(f"{len(self.names)} names do not fit values {self.values.shape}.")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, selection: int | slice | ArrayLike) -> Descriptors:
        return Descriptors(self.values[chosen_rows(len(self), selection)], self.names)

    def column(self, name: str) -> NDArray[np.float64]:
        """One descriptor of all rows [n]."""
        if name not in self.names:
            raise InputError(f"There is no descriptor {name!r}; see the names of the table.")
        return self.values[:, self.names.index(name)]

    @classmethod
    def joined(cls, tables: Sequence[Descriptors]) -> Self:
        """Columns of several tables of the same rows, side by side."""
        if len({len(table) for table in tables}) != 1:
            raise InputError("Tables that are joined side by side need the same number of rows.")
        return cls(
            np.concatenate([table.values for table in tables], axis=1),
            tuple(name for table in tables for name in table.names),
        )


def composition_descriptors(compositions: Compositions) -> Descriptors:
    """Describe compositions by norms, statistics of elemental properties, orbitals, ionicity.

    The answer depends on atomic fractions alone: Fe2O3 and Fe4O6 are described alike.

    Parameters
    ----------
    compositions
        n compositions, each with at least one element.

    Returns
    -------
    Descriptors
        [n, 144], column names such as ``"electronegativity: mean"``.
    """
    if np.any(np.diff(compositions.offsets) == 0):
        raise InputError("A composition without elements cannot be described.")
    names, table = element_properties()
    parts = [
        _described(compositions[start : start + CHUNK], table)
        for start in range(0, len(compositions), CHUNK)
    ]
    values = np.concatenate(parts) if parts else np.zeros((0, len(_names(names))))
    return Descriptors(values, _names(names))


@lru_cache(maxsize=1)
def element_properties() -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """The 22 elemental properties that descriptors are made of, without gaps.

    Returns
    -------
    tuple
        Names, and float64 [119, 22] by atomic number. What a table does not know is the median
        of the element's group, or of all elements where the whole group is unknown.
    """
    outer = {kind: getattr(elements, f"VALENCE_{kind.upper()}") for kind in SHELLS}
    open_shells = {
        kind: np.where(outer[kind] > 0, full - outer[kind], 0.0) for kind, full in SHELLS.items()
    }
    columns = {
        "atomic_number": np.arange(len(elements.SYMBOLS), dtype=np.float64),
        "mendeleev_number": elements.MENDELEEV_NUMBER,
        "atomic_mass": elements.ATOMIC_MASS,
        "melting_point": elements.MELTING_POINT,
        "group": elements.GROUP,
        "period": elements.PERIOD,
        "covalent_radius": elements.COVALENT_RADIUS,
        "electronegativity": elements.ELECTRONEGATIVITY,
        **{f"valence_{kind}": values for kind, values in outer.items()},
        "valence": sum(outer.values()),
        **{f"unfilled_{kind}": values for kind, values in open_shells.items()},
        "unfilled": sum(open_shells.values()),
        "ionization_energy": elements.IONIZATION_ENERGY,
        "electron_affinity": elements.ELECTRON_AFFINITY,
        "molar_volume": elements.MOLAR_VOLUME,
        "vdw_radius": elements.VDW_RADIUS,
    }
    table = np.stack([_completed(np.asarray(values)) for values in columns.values()], axis=1)
    table.setflags(write=False)
    return tuple(columns), table


def _completed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fill the gaps of a table by atomic number with medians of the group [119]."""
    filled = np.array(values, dtype=np.float64)
    filled[0] = np.nan
    everywhere = float(np.nanmedian(filled))
    for number in np.flatnonzero(~np.isfinite(filled[1:])) + 1:
        alike = values[np.equal(elements.GROUP, elements.GROUP[number])]
        known = alike[np.isfinite(alike)]
        filled[number] = np.median(known) if len(known) else everywhere
    filled[0] = 0.0
    return filled


def _names(properties: Sequence[str]) -> tuple[str, ...]:
    return (
        "number of elements",
        *(f"norm {order} of the fractions" for order in NORMS),
        *(f"{name}: {statistic}" for name in properties for statistic in STATISTICS),
        *(f"share of {kind} among valence electrons" for kind in SHELLS),
        "ionic character: maximum",
        "ionic character: mean",
    )


def _described(
    compositions: Compositions, table: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """All descriptors of some compositions [n, d]."""
    numbers, fractions = padded(compositions)
    properties = table[numbers]
    statistics = _statistics(properties, fractions)
    return np.concatenate(
        [
            _stoichiometry(fractions),
            statistics.reshape(len(fractions), -1),
            _orbitals(statistics[:, :, 0]),
            _ionicity(properties, fractions),
        ],
        axis=1,
    )


def padded(compositions: Compositions) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Elements and atomic fractions as rectangles [n, k]; unused places are element 0, fraction 0.

    Parameters
    ----------
    compositions
        n compositions; k is the largest number of elements among them, at least 1.
    """
    sizes = np.diff(compositions.offsets)
    used = np.arange(max(int(sizes.max(initial=1)), 1)) < sizes[:, None]
    numbers = np.zeros(used.shape, dtype=np.int64)
    numbers[used] = compositions.elements
    fractions = np.zeros(used.shape)
    fractions[used] = compositions.amounts
    totals = compositions.atoms
    return numbers, fractions / np.where(totals > 0, totals, 1.0)[:, None]


def _stoichiometry(fractions: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = [np.sum(fractions**order, axis=1) ** (1.0 / order) for order in NORMS]
    return np.stack([np.count_nonzero(fractions, axis=1), *norms], axis=1)


def _statistics(
    properties: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Statistics over elements [n, p, 6] of properties [n, k, p]; of two modes the smaller."""
    used = (fractions > 0)[:, :, None]
    mean = np.einsum("nk,nkp->np", fractions, properties)
    deviation = np.einsum("nk,nkp->np", fractions, np.abs(properties - mean[:, None]))
    least = np.where(used, properties, np.inf).min(axis=1)
    most = np.where(used, properties, -np.inf).max(axis=1)
    top = fractions >= fractions.max(axis=1, keepdims=True) * (1.0 - EQUAL_FRACTIONS)
    mode = np.where(top[:, :, None], properties, np.inf).min(axis=1)
    return np.stack([mean, deviation, least, most, most - least, mode], axis=2)


def _orbitals(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each kind of shell among the valence electrons [n, 4], from means [n, p]."""
    names, _ = element_properties()
    electrons = means[:, [names.index(f"valence_{kind}") for kind in SHELLS]]
    return np.asarray(electrons / np.maximum(electrons.sum(axis=1, keepdims=True), 1e-12))


def _ionicity(
    properties: NDArray[np.float64], fractions: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """Largest ionicity of a pair of elements, and the sum weighted by both fractions [n, 2]."""
    electronegativity = properties[:, :, element_properties()[0].index("electronegativity")]
    difference = electronegativity[:, :, None] - electronegativity[:, None, :]
    ionicity = 1.0 - np.exp(-IONIC_SCALE * difference**2)
    weights = fractions[:, :, None] * fractions[:, None, :]
    largest = np.where(weights > 0, ionicity, 0.0).max(axis=(1, 2))
    return np.stack([largest, 0.5 * np.sum(weights * ionicity, axis=(1, 2))], axis=1)
