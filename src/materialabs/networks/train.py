"""Train a model on your own table: ``materialabs train`` and ``ml.train``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from materialabs.crystals.batch import Crystals
from materialabs.crystals.compositions import Compositions
from materialabs.elements import SYMBOLS
from materialabs.errors import InputError, ResourceError
from materialabs.levels import Kind, Level, require_kind
from materialabs.networks import splits
from materialabs.networks.assembling import assemble
from materialabs.networks.heads import places_of
from materialabs.networks.labelled_tables import LabelledTable, read_labelled
from materialabs.networks.learning_tasks import PRECISIONS, Recipe
from materialabs.networks.members import task_of, train_members, usual_recipe, usual_shape
from materialabs.networks.model_files import CARD, plain, read_card, write_json
from materialabs.networks.model_report import write_report
from materialabs.networks.models import Model
from materialabs.networks.preparing import Prepared, prepare
from materialabs.networks.processes import Processes, joined
from materialabs.networks.splits import Split
from materialabs.networks.targets import ENERGY_UNIT, target_of
from materialabs.networks.training_data import FEWEST, Parts, TrainingData
from materialabs.networks.training_display import shown

MEMBERS: Final = 4
"""Members of an ensemble: where accuracy gains little by more."""

WORK: Final = "work"
"""Folder inside the model's one that keeps graphs and checkpoints."""

PLAN: Final = "plan.json"
"""File that says what a folder is training."""

TEST_SHARE: Final = 0.15
"""Share of groups that a random split is judged on."""

REPORT: Final = "report.html"

LARGEST_SEED: Final = 1 << 32
"""Seeds lie below; members count on from them."""


def train(
    table: str | Path,
    target: str | Sequence[str],
    *,
    structures: str | Path | Sequence[str] | None = None,
    out: str | Path | None = None,
    formula: str | None = None,
    logarithm: Sequence[str] = (),
    unit: str | Sequence[str] = "",
    kind: Kind | None = None,
    level: Level | str | None = None,
    split: str = "formula",
    members: int = MEMBERS,
    epochs: int | None = None,
    seed: int = 0,
    precision: str = "float32",
    credit: str = "",
    licence: str = "",
    threads: int = 1,
    progress: bool | None = None,
) -> Model:
    """Learn a property of crystals or compositions from a table.

    The same call goes on where a stopped one stood, and opens the model once it is finished.

    Parameters
    ----------
    table
        CSV, XLSX, JSON, JSON lines, or a file of crystals with values (extended XYZ, ASE, ...).
    target
        The column to learn, or several. Numbers are regressed; truth values and texts are classes.
        Rows without a value are left out.
    structures
        Files of the crystals where the table has none, joined by id or file name; by order only if
        they are in a single file and no column holds ids.
    out
        Folder of the model; by default named after table and target.
    formula
        Column of formulas, where it has no usual name.
    logarithm
        Targets of which the base-ten logarithm is learned.
    unit
        Of the target, or of each target.
    kind, level
        Of energies in eV/atom: ``"total"`` or ``"formation"``, and the level of theory.
    split
        What the model is judged on: ``"formula"`` (by the MD5 of the reduced formula),
        ``"random"``, ``"group:COLUMN"``, ``"without:Li,Na"`` (all compounds of these elements) or
        ``"elements:4"`` (compounds of more than four elements).
    members
        Networks of the ensemble.
    epochs
        Times that every row is seen at most; by default by the number of rows.
    seed
        The same seed gives the same model on the same machine.
    precision
        Of products: ``"float32"`` or ``"bfloat16"``.
    credit, licence
        Of the data, for the card.
    threads
        Threads that build graphs.
    progress
        Draw a bar or not; by default only on a terminal.

    Returns
    -------
    The model, also written to its folder with card and report.
    """
    names = [target] if isinstance(target, str) else list(target)
    _check(names, members, epochs, precision, kind, seed)
    labelled = read_labelled(table, structures, formula=formula)
    told = level if isinstance(level, Level) or level is None else Level.parse(level)
    data = _data(
        labelled, Path(table).name, names, _units(unit, names), kind, told, logarithm, split, seed,
        credit, licence,
    )  # fmt: skip
    folder = Path(out) if out is not None else Path(folder_name(table, names))
    base = usual_recipe(len(data.parts.train), epochs=epochs, precision=precision)
    recipes = [replace(base, seed=seed + number) for number in range(members)]
    with joined() as processes:
        _claim(folder, data, recipes, processes)
        _trained(data, recipes, folder, processes, threads, progress)
        processes.wait()
        return Model.load(folder)


def _check(
    names: Sequence[str], members: int, epochs: int | None, precision: str, kind: str | None,
    seed: int,
) -> None:  # fmt: skip
    if not names or len(set(names)) < len(names):
        raise InputError("Training needs at least one target, and each of them once.")
    if not 0 <= seed < LARGEST_SEED:
        raise InputError(f"The seed lies between 0 and {LARGEST_SEED - 1}, not at {seed}.")
    if members < 1 or (epochs is not None and epochs < 1):
        raise InputError("Training needs at least one member and one epoch.")
    if precision not in PRECISIONS:
        raise InputError(f"The precision is {' or '.join(PRECISIONS)}, not {precision!r}.")
    if kind is not None:
        require_kind(kind)


def _units(unit: str | Sequence[str], names: Sequence[str]) -> list[str]:
    units = [unit] * len(names) if isinstance(unit, str) else list(unit)
    if len(units) != len(names):
        raise InputError(f"{len(units)} units were given for {len(names)} targets.")
    return units


def folder_name(table: str | Path, names: Sequence[str]) -> str:
    """The usual folder of a model, named after its table and targets."""
    stem = Path(table).name.partition(".")[0]
    return f"{stem}-{'-'.join(names)}".replace("/", "_").replace(" ", "_") + "-model"


# -- from the table to what is learned ------------------------------------------------------------


def _data(
    labelled: LabelledTable, name: str, names: Sequence[str], units: Sequence[str],
    kind: Kind | None, level: Level | None, logarithm: Sequence[str], split: str, seed: int,
    credit: str, licence: str,
) -> TrainingData:  # fmt: skip
    strange = sorted(set(logarithm) - set(names))
    if strange:
        raise InputError(f"The logarithm of {strange[0]!r} is asked for, which is no target.")
    found = [
        target_of(
            one, labelled.column(one), unit=unit, kind=kind, level=level,
            logarithm=one in logarithm,
        )
        for one, unit in zip(names, units, strict=True)
    ]  # fmt: skip
    if kind is not None and all(head.kind is None for head, _ in found):
        raise InputError(
            f"No target is in {ENERGY_UNIT}, and only such energies are {kind} energies: say so "
            f"with the unit {ENERGY_UNIT}, or leave the kind out.",
            code="level.kind",
        )
    targets = np.concatenate([values for _, values in found], axis=1)
    rows = _usable(labelled.inputs, targets)
    inputs: Any = labelled.inputs
    inputs, targets = inputs[rows], targets[rows]
    cut = _split(labelled, rows, inputs, split, seed)
    data = TrainingData(
        inputs,
        targets,
        tuple(head for head, _ in found),
        Parts.cut(cut, seed),
        cut.name,
        _printable(name),
        credit,
        licence,
        tuple(_printable(labelled.ids[row]) for row in rows.tolist()),
        (*map(_printable, labelled.notes), *_left_out(len(labelled.inputs), len(rows))),
    )
    _require_values(data)
    return data


def _printable(text: str) -> str:
    """A text with bytes of file names that are not UTF-8 as escapes, for the card and report."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _usable(inputs: Crystals | Compositions, targets: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows with a value and, for crystals, with fully occupied sites."""
    good = np.isfinite(targets).any(axis=1)
    if isinstance(inputs, Crystals):
        good &= ~inputs.disordered() & (inputs.counts > 0)
    rows = np.flatnonzero(good)
    if len(rows) < FEWEST:
        raise InputError(
            f"{len(rows)} rows have a value and an input that a network reads, and {FEWEST} are "
            "needed to learn from, to calibrate on and to be judged on: give more rows.",
            code="training.few",
        )
    return rows


def _left_out(count: int, used: int) -> list[str]:
    """A sentence on rows that are not used, where there are any."""
    if used == count:
        return []
    return [f"{count - used} of {count} rows have no value or partly occupied sites: left out"]


def _require_values(data: TrainingData) -> None:
    """Refuse a head without values, or of one value, in the part that is learned from."""
    learned = data.targets[data.parts.train]
    for head in data.heads:
        own = learned[:, places_of(data.heads)[head.name]]
        values = own[np.isfinite(own).all(axis=1)]
        if not len(values):
            raise InputError(
                f"{head.name!r} has no value in the rows that are learned from: give more, or "
                "choose another split.",
                code="target.empty",
            )
        if not head.classes and np.ptp(values) == 0:
            raise InputError(
                f"Every value of {head.name!r} is the same: there is nothing to learn.",
                code="target.constant",
            )


def _split(
    labelled: LabelledTable, rows: NDArray[np.int64], inputs: Any, split: str, seed: int
) -> Split:
    """The split of a name such as ``formula`` or ``without:Li``."""
    word, _, rest = split.partition(":")
    compositions = inputs.compositions if isinstance(inputs, Crystals) else inputs
    if word == "formula":
        return splits.by_formula_hash(compositions)
    if word == "random":
        return splits.random(len(rows), share=TEST_SHARE, seed=seed)
    if word == "group" and rest:
        values = labelled.column(rest)
        groups = [str(values[row]) for row in rows.tolist()]
        return splits.by_group(groups, share=TEST_SHARE, seed=seed)
    if word == "without" and rest:
        return splits.by_element(compositions, [one.strip() for one in rest.split(",")])
    if word == "elements" and rest.isdecimal() and 0 < int(rest) < len(SYMBOLS):
        return splits.by_number_of_elements(compositions, int(rest))
    raise InputError(
        f"There is no split {split!r}: formula, random, group:COLUMN, without:Li,Na and "
        "elements:4 are.",
        code="training.split",
    )


# -- training -------------------------------------------------------------------------------------


def _claim(
    folder: Path, data: TrainingData, recipes: Sequence[Recipe], processes: Processes
) -> None:
    """Write what the folder trains, or refuse one that trains something else."""
    plan = _plan(data.data_hash, [asdict(one) for one in recipes])
    place = folder / WORK / PLAN
    if processes.first:
        _require_own(folder, plan)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ResourceError(f"{folder} cannot be made: {error.strerror}.") from None
        if not place.exists():
            write_json(place, plan)
        elif _written(place) != plan:
            raise InputError(
                f"{folder} trains on another table, split or recipe: give another --out, or "
                "remove it.",
                code="training.other",
            )
    processes.wait()


def _plan(data_hash: str, recipes: Sequence[dict[str, Any]]) -> Any:
    """What decides the model of a folder, as JSON gives it back."""
    own = [one | {"checkpoint_seconds": 0} for one in recipes]
    return json.loads(json.dumps(plain({"data": data_hash, "recipes": own})))


def _require_own(folder: Path, plan: Any) -> None:
    """Refuse a folder whose finished model is another one, though its plan may be gone."""
    if not (folder / CARD).exists():
        return
    card = read_card(folder)
    try:
        told = _plan(card["data"]["sha256"], card["recipes"])
    except (KeyError, TypeError):
        told = None
    if told != plan:
        raise InputError(
            f"{folder} holds a model of another table, split or recipe: give another --out, or "
            "remove it.",
            code="training.other",
        )


def _written(plan: Path) -> Any:
    """The plan of a folder; nothing where it is damaged."""
    try:
        return json.loads(plan.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None


def _trained(
    data: TrainingData, recipes: Sequence[Recipe], folder: Path, processes: Processes,
    threads: int, progress: bool | None,
) -> None:  # fmt: skip
    """Prepare, train and, in the first process, assemble."""
    if (folder / CARD).exists() and (folder / REPORT).exists():
        return
    work, shape = folder / WORK, usual_shape(data)
    prepared = _prepared(data, work, processes, threads)
    rows = task_of(data, prepared).rows_an_epoch()
    with shown(recipes, rows, progress if processes.first else False) as watch:
        found = train_members(data, prepared, shape, recipes, work, watch)
    if processes.first:
        made = assemble(data, found, prepared, folder, folder.resolve().name)
        write_report(made, data, folder / REPORT)


def _prepared(
    data: TrainingData, work: Path, processes: Processes, threads: int
) -> Prepared | None:
    """Graphs and copies, made by the first process and mapped by all."""
    if not isinstance(data.inputs, Crystals):
        return None
    place = work / f"graphs-{data.data_hash[:16]}"
    if processes.first:
        prepare(data.inputs, data.parts, place, threads=threads)
    processes.wait()
    return prepare(data.inputs, data.parts, place, threads=threads)
