"""Tables that transfer is judged on, and how each is cut into folds.

All values are measured but the migration barriers, which were calculated at mixed levels (most with
PBE): they stand for a small table of calculations.

Those of Matbench keep their official folds, formation enthalpies have the published five as well;
all others are cut by reduced formula, since a compound measured at twenty temperatures is one
compound. Of the other columns of a table nothing is an input but the conditions named here.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.harness import data_folder
from materialabs.networks import splits
from materialabs.networks.splits import Split
from materialabs.networks.table_rows import read_rows
from materialabs.transfer.folds import FoldPlan, plan_folds
from materialabs.transfer.tables import Measurements, read_measurements

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """A table, its folds, and how its errors are told."""

    name: str
    measured: Measurements
    plan: FoldPlan

    @property
    def classes(self) -> bool:
        """Whether classes are told apart."""
        return bool(self.measured.head.classes)


@dataclass(frozen=True)
class Table:
    """Where measured values are.

    Parameters
    ----------
    file
        Under the reference data.
    formula, target
        Columns.
    unit
        Of the target.
    conditions
        Columns that the measurement was made at.
    logarithm
        Learn base-ten logarithms.
    normalise
        Take fractions relative to their sum, whatever it is.
    mended
        What is done to the rows first.
    folds
        ``"formula"``, ``"matbench"`` or ``"published"``.
    """

    file: str
    formula: str
    target: str
    unit: str = ""
    conditions: tuple[str, ...] = ()
    logarithm: bool = False
    normalise: bool = False
    mended: Callable[[Rows], Rows] | None = None
    folds: str = "formula"


def detection_limits(rows: Rows) -> Rows:
    """Conductivities below the limit of detection (``<1E-10``) count as that limit."""
    name = "Ionic conductivity (S cm-1)"
    return [row | {name: str(row.get(name) or "").lstrip("<")} for row in rows]


def positive(name: str) -> Callable[[Rows], Rows]:
    """Keeps the rows where a value has a logarithm."""

    def kept(rows: Rows) -> Rows:
        return [row for row in rows if isinstance(row.get(name), int | float) and row[name] > 0]

    return kept


def plain_formulas(rows: Rows) -> Rows:
    """Formulas without the names of polymorphs, paths and vacancies.

    Such are ``b-NaVP2O7``, ``LiMnBO3(mono)`` and ``LiMnO2(DV)``, which is no oxide of vanadium.
    """
    name = "COMPOSITION"
    plain = [POLYMORPH.sub("", str(row.get(name) or "")).replace("_", "") for row in rows]
    return [
        row | {name: formula.replace("LI", "Li")} for row, formula in zip(rows, plain, strict=True)
    ]


def cathodes(rows: Rows) -> Rows:
    """Capacities without remarks (``172highest initial``), and rates where they are numbers."""
    capacity, rate = "C1 discharge(or initial highest)", "c rate of discharge"
    found = [re.match(r"\s*(\d+(?:\.\d+)?)", str(row.get(capacity) or "")) for row in rows]
    return [
        row | {
            capacity: match[1] if match else "",
            rate: row[rate] if isinstance(row.get(rate), int | float) else "",
        }
        for row, match in zip(rows, found, strict=True)
    ]  # fmt: skip


POLYMORPH: Final = re.compile(
    r"^(?:[a-z]\d?|O\d?)-|\((?:mono|hex|(?i:mv|dv)|Pmn21|in-plane|out-of_plane)\)"
)

EFE: Final = Table(
    "experiments/formation_enthalpy_efe.xlsx", "composition", "form_eng_exp", "eV/atom",
    normalise=True, folds="published",
)  # fmt: skip

ESTM: Final = "experiments/estm.xlsx"
TEMPERATURE: Final = ("temperature(K)",)

TABLES: Final[dict[str, Table]] = {
    "efe, published folds": EFE,
    "efe, folds by formula": Table(**{**vars(EFE), "folds": "formula"}),
    "expt_gap": Table(
        "experiments/matbench_expt_gap.json.bz2", "composition", "gap expt", "eV",
        folds="matbench",
    ),
    "expt_is_metal": Table(
        "experiments/matbench_expt_is_metal.json.bz2", "composition", "is_metal", folds="matbench"
    ),
    "glass": Table(
        "experiments/matbench_glass.json.bz2", "composition", "gfa", folds="matbench"
    ),
    "steels": Table(
        "experiments/matbench_steels.json.bz2", "composition", "yield strength", "MPa",
        folds="matbench",
    ),
    "estm_zt": Table(ESTM, "Formula", "ZT", "1", TEMPERATURE),
    "estm_seebeck": Table(ESTM, "Formula", "seebeck_coefficient(μV/K)", "uV/K", TEMPERATURE),
    "estm_thermal_conductivity": Table(
        ESTM, "Formula", "thermal_conductivity(W/mK)", "W/(m K)", TEMPERATURE, logarithm=True,
        mended=positive("thermal_conductivity(W/mK)"),
    ),
    "mrl_seebeck": Table(
        "experiments/dopnet_mrl.xlsx", "Formula", "seebeck_coefficient", "uV/K", ("temperature",)
    ),
    "mpea_hardness": Table("experiments/MPEA_dataset.csv", "FORMULA", "PROPERTY: HV", "HV"),
    "glass_dmax": Table("experiments/metallic_glass_Dmax.csv", "Alloy Formula", "Dmax", "mm"),
    "superconductors": Table(
        "applications/Supercon_data_2018_Stanev.csv", "name", "Tc", "K"
    ),
    "lithium_conductivity": Table(
        "applications/OBELiX_train.csv", "Reduced Composition", "Ionic conductivity (S cm-1)",
        "S/cm", logarithm=True, mended=detection_limits,
    ),
    "migration_barriers": Table(
        "applications/migration_barriers.xlsx", "COMPOSITION", "MIGRATION BARRIER(eV)", "eV",
        mended=plain_formulas,
    ),
    "cathode_capacity": Table(
        "applications/battery_cathodes_sparks.xlsx", "cathode material",
        "C1 discharge(or initial highest)", "mAh/g", ("Voltage range", "c rate of discharge"),
        mended=cathodes,
    ),
}  # fmt: skip
"""What is measured; efe counts by two kinds of folds."""


def task(name: str, folder: Path) -> Task:
    """A table read as a user's would be; rows that cannot be read are left out and noted.

    Parameters
    ----------
    name
        Of :data:`TABLES`.
    folder
        Where mended copies are written.
    """
    table = TABLES[name]
    path = data_folder() / table.file
    if table.mended is not None:
        path = _written(table.mended(read_rows(path)), folder / f"{name}.csv")
    measured = read_measurements(
        path, table.target, formula=table.formula, conditions=table.conditions,
        logarithm=table.logarithm, unit=table.unit, skip_bad=True, normalise=table.normalise,
    )  # fmt: skip
    return Task(name, measured, _folds(table, measured))


def _folds(table: Table, measured: Measurements) -> FoldPlan:
    if table.folds == "published":
        return published_folds(len(measured))
    if table.folds == "formula":
        return plan_folds(measured.compositions)
    cuts = (
        splits.matbench_class_folds(measured.targets.argmax(axis=1)) if measured.head.classes
        else splits.matbench_folds(len(measured))
    )  # fmt: skip
    return FoldPlan("random", tuple(cuts), np.arange(len(measured)))


def published_folds(rows: int) -> FoldPlan:
    """CroMEL's five folds: numpy's permutation of seed 0, cut into five."""
    order = np.random.RandomState(0).permutation(rows)  # as the published folds are drawn
    groups = np.arange(rows)
    cuts = [
        Split(np.setdiff1d(groups, part), np.sort(part), groups, f"published fold {number + 1}")
        for number, part in enumerate(np.array_split(order, 5))
    ]
    return FoldPlan("random", tuple(cuts), groups)


def _written(rows: Rows, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    part.replace(path)
    return path
