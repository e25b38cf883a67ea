"""How stiff known crystals and random alloys are, as CHGNet calculates it: what a source learns.

Of known crystals: elastic moduli, force constants, how far forces are from harmonic, and how
springs weaken as the crystal swells. Of random solid solutions on bcc and fcc sites: energy against
the elements, which of the two lattices is lower, volume, moduli, and the forces and stress that
atoms of different size feel (:mod:`benchmarks.strained_crystals`).

``scripts/calculate_stiffness.py`` calculates, an hour and a half of a core, and packs the values by
formula into one file beside this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.strained_crystals import LATTICES, Columns
from materialabs.crystals.compositions import Compositions
from materialabs.networks.learning_tasks import Epoch
from materialabs.transfer.folds import compound_labels
from materialabs.transfer.source_training import train_source
from materialabs.transfer.sources import Source

Floats = NDArray[np.float64]

PLACE = Path(__file__).parent / "data" / "calculated_stiffness.npz"

QUANTITIES: Final = (
    "log volume of an atom (A^3)", "log10 bulk modulus (GPa)", "log10 shear modulus (GPa)",
    "log10 force constant (eV/A^2)", "log10 softest force constant (eV/A^2)",
    "log10 mean frequency (sqrt(eV/A^2/u))", "anharmonic share of forces", "Grueneisen parameter",
    "energy of a solution (eV/atom)", "bcc over fcc (eV/atom)", "log swelling of a solution",
    "log10 force in a solution (eV/A)", "log10 shear stress in a solution (GPa)",
)  # fmt: skip

DATA: Final = {
    "name": "stiffness of crystals of mp36k and of random alloys, calculated by CHGNet 0.3.0",
    "credit": "Materials Project (snapshots of 2018-2019); CHGNet (Deng et al., 2023)",
    "licence": "CC BY 4.0",
}

WIDEST: Final = 8.0
"""A Grueneisen parameter beyond this tells of a crystal that is no minimum."""

LEAST: Final = {"modulus": 1.0, "spring": 0.05, "frequency": 0.005}
"""GPa, eV/A^2 and the frequency of it below which a crystal counts as unstable and is left out."""

UNLIKE: Final = {"force": 0.03, "stress": 0.05}
"""eV/A and GPa that are added before the logarithm: pure elements feel none."""

MOST_PRESSURE: Final = 2.0
"""GPa; a solution that is under more has no volume."""


def values_of_vibrations(columns: Columns) -> Floats:
    """[n, quantities] from what :func:`vibrations` gives; what is unstable is not known."""
    wide = np.abs(columns["grueneisen"]) >= WIDEST
    return _table(
        len(columns["bulk"]),
        {
            0: np.log(columns["volume"]), 1: _log(columns["bulk"], LEAST["modulus"]),
            2: _log(columns["shear"], LEAST["modulus"]),
            3: _log(columns["spring"], LEAST["spring"]),
            4: _log(columns["softest"], LEAST["spring"]),
            5: _log(columns["frequency"], LEAST["frequency"]), 6: columns["anharmonic"],
            7: np.where(wide, np.nan, columns["grueneisen"]),
        },
    )  # fmt: skip


def values_of_solutions(
    numbers: NDArray[np.int64], columns: Columns, references: tuple[Floats, Floats]
) -> Floats:
    """[n, quantities] from what :func:`solutions` gives; of both lattices the mean or the lower.

    Parameters
    ----------
    numbers
        [n, 16].
    columns
        Of both lattices.
    references
        Energies and volumes of the elements.
    """
    energies, volumes = references
    bcc, fcc = columns["bcc energy"], columns["fcc energy"]
    lower = np.where(bcc < fcc, columns["bcc volume"], columns["fcc volume"])

    def mean(name: str) -> Floats:
        return np.asarray((columns[f"bcc {name}"] + columns[f"fcc {name}"]) / 2.0)

    table = _table(
        len(numbers),
        {
            0: np.log(lower), 1: _log(mean("bulk"), LEAST["modulus"]),
            2: _log(mean("shear"), LEAST["modulus"]),
            8: np.minimum(bcc, fcc) - energies[numbers].mean(axis=1), 9: bcc - fcc,
            10: np.log(lower / volumes[numbers].mean(axis=1)),
            11: np.log10(mean("force") + UNLIKE["force"]),
            12: np.log10(mean("stress") + UNLIKE["stress"]),
        },
    )  # fmt: skip
    pressed = [np.abs(columns[f"{lattice} pressure"]) >= MOST_PRESSURE for lattice in LATTICES]
    table[pressed[0] | pressed[1]] = np.nan
    return table


def _table(rows: int, known: dict[int, Floats]) -> Floats:
    table = np.full((rows, len(QUANTITIES)), np.nan)
    for place, values in known.items():
        table[:, place] = values
    return table


def _log(values: Floats, least: float) -> Floats:
    return np.asarray(np.log10(np.where(values > least, values, np.nan)))


@dataclass(frozen=True, eq=False)
class Stiffness:
    """Values by formula.

    Parameters
    ----------
    formulas
        Reduced formulas of ordered crystals and of solutions, each once.
    values
        [n, quantities], NaN where one is not known.
    """

    formulas: tuple[str, ...]
    values: Floats

    @classmethod
    def joined(cls, solved: tuple[list[str], Floats], known: tuple[list[str], Floats]) -> Stiffness:
        """Formulas and values of solutions and of known crystals, which count where both tell."""
        rows: dict[str, Floats] = {}
        for formulas, values in (solved, known):
            for name, row in zip(Compositions.parse(formulas).reduced_formulas(), values,
                                 strict=True):  # fmt: skip
                rows[name] = np.where(np.isfinite(row), row, rows.get(name, row))
        told = {name: row for name, row in rows.items() if np.isfinite(row).any()}
        return cls(tuple(told), np.stack(list(told.values())))

    def save(self, path: Path = PLACE) -> None:
        """Write one file, in half precision, which is far finer than what is calculated."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        known = np.isfinite(self.values)
        np.savez_compressed(
            part, formulas=np.array(self.formulas), known=known,
            values=self.values[known].astype(np.float16),
        )  # fmt: skip
        part.replace(path)

    @classmethod
    def load(cls, path: Path = PLACE) -> Stiffness:
        """Read what :meth:`save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
        values = np.full(arrays["known"].shape, np.nan)
        values[arrays["known"]] = arrays["values"]
        return cls(tuple(arrays["formulas"].tolist()), values)


def train(
    table: Stiffness, out: Path, *, without: Sequence[str] = (),
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Source:  # fmt: skip
    """Train a source on the values by formula, and write its folder.

    Parameters
    ----------
    table
        What was calculated.
    out
        The folder; its name is that of the source.
    without
        Labels (:func:`materialabs.transfer.folds.compound_labels`) of compounds that are left out.
    on_epoch
        Called after each epoch.
    """
    gone, compositions = set(without), Compositions.parse(table.formulas)
    kept = np.flatnonzero([label not in gone for label in compound_labels(compositions)])
    return train_source(
        out.name, compositions[kept], table.values[kept], QUANTITIES, out, data=DATA,
        on_epoch=on_epoch,
    )  # fmt: skip
