"""Calculated quantities by formula, which sources of transfer are trained on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import data_folder
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import read
from materialabs.networks.learning_tasks import Epoch
from materialabs.transfer.folds import compound_labels
from materialabs.transfer.source_training import train_source
from materialabs.transfer.sources import Source

QUANTITIES: Final = (
    "formation energy (eV/atom)", "band gap (eV)", "log volume of an atom (A^3)",
    "log10 bulk modulus (GPa)", "log10 shear modulus (GPa)",
)  # fmt: skip
WEIGHTS: Final = dict(zip(QUANTITIES, (1.0, 0.5, 0.3, 0.3, 0.3), strict=True))
DATA: Final = {
    "name": "mp36k and elastic moduli of binaries",
    "credit": "Materials Project (snapshots of 2018-2019)",
    "licence": "CC BY 4.0",
}
PARTS: Final = {"energy": [0], "gap": [1], "volume": [2], "moduli": [3, 4]}
"""Quantities that sources of one kind of calculation learn."""
SMALLEST_MODULUS: Final = 1.0
"""GPa; smaller calculated moduli are of unstable crystals."""


def calculated() -> dict[str, list[float]]:
    """For each formula of mp36k energy, gap and volume of its lowest polymorph, and moduli."""
    crystals: Any = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    energies = np.asarray(crystals.columns["formation_energy"], dtype=float)
    gaps = np.asarray(crystals.columns["gap_pbe_megnet2018"], dtype=float)
    volumes = np.log(crystals.volumes / crystals.counts)
    rows: dict[str, list[float]] = {}
    for place, formula in enumerate(crystals.reduced_formulas()):
        if formula not in rows or energies[place] < rows[formula][0]:
            rows[formula] = [energies[place], gaps[place], volumes[place], np.nan, np.nan]
    for formula, moduli in elastic().items():
        rows.setdefault(formula, [np.nan] * len(QUANTITIES))[3:] = np.log10(moduli).mean(axis=0)
    return rows


def elastic() -> dict[str, list[tuple[float, float]]]:
    """Bulk and shear moduli of the polymorphs of each binary formula."""
    with gzip.open(data_folder() / "structures" / "mp_binary_elasticity.json.gz", "rt") as stream:
        rows = json.load(stream)
    found: dict[str, list[tuple[float, float]]] = {}
    formulas = Compositions.parse([row["formula"] for row in rows]).reduced_formulas()
    for formula, row in zip(formulas, rows, strict=True):
        moduli = (row["bulk_modulus_vrh"] or 0.0, row["shear_modulus_vrh"] or 0.0)
        if min(moduli) > SMALLEST_MODULUS:
            found.setdefault(formula, []).append(moduli)
    return found


def train(
    rows: dict[str, list[float]],
    out: Path,
    *,
    without: Sequence[str] = (),
    only: str | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Source:
    """Train a source on calculated values by formula, and write its folder.

    Parameters
    ----------
    rows
        Values of :data:`QUANTITIES` by formula.
    out
        The folder; its name is that of the source.
    without
        Labels (:func:`materialabs.transfer.folds.compound_labels`) of compounds that are left out.
    only
        Of :data:`PARTS`.
    on_epoch
        Called after each epoch.
    """
    gone, formulas = set(without), list(rows)
    labels = compound_labels(Compositions.parse(formulas))
    columns = list(range(len(QUANTITIES))) if only is None else PARTS[only]
    values = np.array(list(rows.values()))[:, columns]
    kept = np.isfinite(values).any(axis=1) & [label not in gone for label in labels]
    compositions = Compositions.parse(
        [one for one, used in zip(formulas, kept, strict=True) if used]
    )
    names = [QUANTITIES[column] for column in columns]
    return train_source(
        out.name, compositions, values[kept], names, out,
        weights={one: WEIGHTS[one] for one in names}, data=DATA | {"quantities": names},
        on_epoch=on_epoch,
    )  # fmt: skip
