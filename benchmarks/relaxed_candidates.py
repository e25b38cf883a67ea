"""Candidates of chemical systems drawn by chance, as CHGNet relaxed them.

``scripts/relax_candidates.py`` makes the table (three hours of two cores) and packs it into one
file beside this module; networks of candidates learn from it. Known compounds stand in it by their
identifiers in mp36k alone: their crystals are read from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import NUMBER_OF, SYMBOLS

PLACE = Path(__file__).parent / "data" / "relaxed_candidates.npz"

SELDOM = (
    *("H", "Tc", "Pm", "Hg", "Eu", "Tb", "Ho", "Tm", "Lu"), *("Ac", "Th", "Pa", "U", "Np", "Pu"),
)  # fmt: skip
"""Elements whose rows were added last: hydrogen, of molecules; the actinides; and some of which few
compounds are known or whose neighbours stand for them."""

LARGEST_FORMATION = 4.0
"""eV/atom; what is relaxed to more is no crystal."""


@dataclass(frozen=True, eq=False)
class RelaxedCandidates:
    """Starts, what they became, and formation energies.

    Parameters
    ----------
    starts, ends
        Candidates before and after.
    energies
        Formation energy of each, eV/atom.
    known
        Identifiers in mp36k of compounds whose energy was computed as they are.
    known_energies
        Formation energies of these, eV/atom.
    """

    starts: Crystals
    ends: Crystals
    energies: NDArray[np.float64]
    known: tuple[str, ...]
    known_energies: NDArray[np.float64]

    def save(self, path: Path = PLACE) -> None:
        """Write one file, lengths and fractions as float32."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        arrays: dict[str, Any] = {
            "energies": self.energies.astype(np.float32),
            "known": np.array(self.known),
            "known_energies": self.known_energies.astype(np.float32),
        }
        arrays |= _arrays("start", self.starts) | _arrays("end", self.ends)
        np.savez_compressed(part, **arrays)
        part.replace(path)

    @classmethod
    def load(cls, path: Path = PLACE) -> RelaxedCandidates:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as kept:
            return cls(
                _crystals("start", kept), _crystals("end", kept),
                kept["energies"].astype(np.float64), tuple(kept["known"].tolist()),
                kept["known_energies"].astype(np.float64),
            )  # fmt: skip

    def with_known(self, table: Crystals) -> tuple[Crystals, NDArray[np.float64]]:
        """Ends, then known compounds from the table that holds them, and all energies."""
        rows = {name: row for row, name in enumerate(table.columns["id"])}
        chosen = [rows[name] for name in self.known]
        compounds = table[np.array(chosen, dtype=np.int64)].replace(columns=None, site_columns=None)
        energies = np.concatenate([self.energies, self.known_energies])
        return Crystals.concat([self.ends, compounds]), energies


def holding(crystals: Crystals, symbols: Sequence[str]) -> NDArray[np.bool_]:
    """Which crystals hold one of these elements or more [n]."""
    there = np.isin(crystals.numbers, [NUMBER_OF[symbol] for symbol in symbols])
    return np.asarray(np.bincount(crystals.owners, there, len(crystals)) > 0)


def formation_energies(
    compositions: Compositions, energies: NDArray[np.float64], elements: tuple[Crystals, np.ndarray]
) -> NDArray[np.float64]:
    """Formation energies from totals [n], eV/atom; NaN where an element has none."""
    crystals, totals = elements
    pure = np.full(len(SYMBOLS), np.nan)
    for number, energy in zip(crystals.numbers[crystals.offsets[:-1]], totals, strict=True):
        pure[number] = np.fmin(pure[number], energy)
    shares = compositions.fractions(range(len(SYMBOLS)))
    told = ~shares[:, ~np.isfinite(pure)].any(axis=1)
    return np.where(told, energies - shares @ np.nan_to_num(pure), np.nan)


def _arrays(name: str, crystals: Crystals) -> dict[str, np.ndarray]:
    return {
        f"{name}_lattice": crystals.lattice.astype(np.float32),
        f"{name}_frac": crystals.frac.astype(np.float32),
        f"{name}_numbers": crystals.numbers.astype(np.uint8),
        f"{name}_counts": crystals.counts.astype(np.uint8),
    }


def _crystals(name: str, kept: np.lib.npyio.NpzFile) -> Crystals:
    lattice, frac = (kept[f"{name}_{part}"].astype(np.float64) for part in ("lattice", "frac"))
    offsets = np.concatenate([[0], np.cumsum(kept[f"{name}_counts"], dtype=np.int64)])
    return Crystals(lattice, frac, kept[f"{name}_numbers"], offsets)
