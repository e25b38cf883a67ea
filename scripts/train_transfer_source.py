"""Train the source of calculated knowledge that ships with ``materialabs.transfer``.

``python scripts/train_transfer_source.py OUT`` reads mp36k and the elastic moduli of binaries from
the reference data and takes about four minutes of one core; ``--without TABLE COLUMN`` leaves out
the formulas of a table of measurements, to see what they matter.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from materialabs.crystals.compositions import Compositions
from materialabs.crystals.files import read
from materialabs.networks.labelled_tables import read_rows
from materialabs.networks.learning_tasks import Epoch
from materialabs.transfer.folds import compound_labels
from materialabs.transfer.source_training import train_source

QUANTITIES = (
    "formation energy (eV/atom)", "band gap (eV)", "log volume of an atom (A^3)",
    "log10 bulk modulus (GPa)", "log10 shear modulus (GPa)",
)  # fmt: skip
WEIGHTS = dict(zip(QUANTITIES, (1.0, 0.5, 0.3, 0.3, 0.3), strict=True))
DATA = {
    "name": "mp36k and elastic moduli of binaries",
    "credit": "Materials Project (snapshots of 2018-2019)",
    "licence": "CC BY 4.0",
}
SMALLEST_MODULUS = 1.0
"""GPa; smaller calculated moduli are of unstable crystals."""


def calculated(folder: Path) -> dict[str, list[float]]:
    """For each formula of mp36k energy, gap and volume of its lowest polymorph, and moduli."""
    crystals: Any = read(folder / "structures" / "mp36k.jsonl.gz")
    energies = np.asarray(crystals.columns["formation_energy"], dtype=float)
    gaps = np.asarray(crystals.columns["gap_pbe_megnet2018"], dtype=float)
    volumes = np.log(crystals.volumes / crystals.counts)
    rows: dict[str, list[float]] = {}
    for place, formula in enumerate(crystals.reduced_formulas()):
        if formula not in rows or energies[place] < rows[formula][0]:
            rows[formula] = [energies[place], gaps[place], volumes[place], np.nan, np.nan]
    for formula, moduli in elastic(folder).items():
        rows.setdefault(formula, [np.nan] * len(QUANTITIES))[3:] = np.log10(moduli).mean(axis=0)
    return rows


def elastic(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """Bulk and shear moduli of the polymorphs of each binary formula."""
    with gzip.open(folder / "structures" / "mp_binary_elasticity.json.gz", "rt") as stream:
        rows = json.load(stream)
    found: dict[str, list[tuple[float, float]]] = {}
    formulas = Compositions.parse([row["formula"] for row in rows]).reduced_formulas()
    for formula, row in zip(formulas, rows, strict=True):
        moduli = (row["bulk_modulus_vrh"] or 0.0, row["shear_modulus_vrh"] or 0.0)
        if min(moduli) > SMALLEST_MODULUS:
            found.setdefault(formula, []).append(moduli)
    return found


def show(epoch: Epoch) -> None:
    """Print how far an epoch came."""
    print(epoch.number, round(epoch.loss, 4), epoch.validation, f"{epoch.seconds:.0f} s")


def main() -> None:
    """Train and write the source."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--without", nargs=2, metavar=("TABLE", "COLUMN"))
    arguments = parser.parse_args()
    folder = Path(os.environ.get("MATERIALABS_DATA", "../shared/data"))
    if not folder.is_dir():
        sys.exit(f"No reference data at {folder}: set MATERIALABS_DATA to its folder.")
    rows = calculated(folder)
    if arguments.without:
        table, column = arguments.without
        known = [str(row[column]) for row in read_rows(Path(table)) if row.get(column)]
        gone = set(compound_labels(Compositions.parse(known)))
        labels = compound_labels(Compositions.parse(list(rows)))
        rows = {one: row for (one, row), label in zip(rows.items(), labels, strict=True)
                if label not in gone}  # fmt: skip
    train_source(
        arguments.out.name, Compositions.parse(list(rows)), np.array(list(rows.values())),
        QUANTITIES, arguments.out, weights=WEIGHTS, data=DATA, on_epoch=show,
    )  # fmt: skip


if __name__ == "__main__":
    main()
