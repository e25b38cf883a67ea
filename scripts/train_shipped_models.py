"""Make the models that ship: prepare their data, train members, assemble, judge and write them.

::

    python scripts/train_shipped_models.py prepare mp36k --folder work
    python scripts/train_shipped_models.py member mp36k 0 --folder work     # and 1, 2, ...
    python scripts/train_shipped_models.py outsider mp36k 0 --folder work   # and 1, 2, 3
    python scripts/train_shipped_models.py assemble mp36k --folder work

Outsiders learn without half of the training formulas, so that their errors tell what is hard;
``assemble`` takes those that are there. ``recalibrate`` does what ``assemble`` does with the
members that ship already.

The smaller tables (phonons, elasticity, perovskites, oxides) go the same way; the networks of some
begin with the layers of mp36k, whose training side is cut by the same hash of the formulas, so that
no test formula has been seen by any of them. The model of candidates is cut by chemical systems:
the layers that it begins with may have seen a known compound of a test system.

Each step can be stopped and run again; members can be trained at the same time. ``assemble`` takes
the members that are finished, chooses the volumes of unrelaxed candidates on the validation part,
fits calibration and domain on the calibration part, judges once on the test part, and writes
weights, card, calibration and domain into the package, and predictions and a report into the
folder. ``--split few`` trains on at most four elements instead (a benchmark, not shipped), and
``--rows`` takes a part of the table, to try things out.

The data are those that ``MATERIALABS_DATA`` names; what comes from the Materials Project is
CC BY 4.0.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from benchmarks.relaxed_candidates import RelaxedCandidates

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.levels import MP2018
from materialabs.networks import members as training
from materialabs.networks import splits
from materialabs.networks.assembling import Members, assemble
from materialabs.networks.bond_network import BondNetworkShape
from materialabs.networks.distortions import Copies
from materialabs.networks.heads import Head, columns_of
from materialabs.networks.learning_tasks import Recipe, Scaling
from materialabs.networks.model_files import read_card, read_weights
from materialabs.networks.model_report import write_report
from materialabs.networks.models import SHIPPED
from materialabs.networks.outsiders import Outsider, half_of
from materialabs.networks.preparing import Prepared, prepare
from materialabs.networks.starting import Start
from materialabs.networks.training_data import Parts, TrainingData
from materialabs.networks.weight_files import read_tensors
from materialabs.oracles.chgnet_weights import chgnet_level

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("MATERIALABS_DATA", ROOT.parent / "shared" / "data")) / "structures"

MATERIALS_PROJECT = (
    "Materials Project (Jain et al., APL Mater. 1, 011002, 2013), calculations of 2018-2019"
)
STOPPING_PERCENT, CALIBRATION_PERCENT = 2, 8
"""Formulas whose second hash is below the first stop the training, up to the second calibrate."""

FEWEST_STOPPING = 50
"""Rows that may decide alone when to stop; where they are fewer, all rows that are set aside stop
the training and calibrate."""

MOST_ELEMENTS = 4
"""Elements of the richest compound that the split ``few`` trains on."""

WEIGHTS = {
    "formation_energy": 1.0, "band_gap": 0.2, "formation_energy_2018": 0.3,
    "band_gap_hse": 0.03, "band_gap_gllbsc": 0.03, "band_gap_scan": 0.01,
}  # fmt: skip
"""Weights of the heads of mp36k in the loss."""

EPOCHS, RATE = 40, 3e-3
"""Epochs and highest learning rate of a member of mp36k."""

FIRST_OUTSIDER = 100
"""Seed of the outsider number 0."""

SMALL_STEPS = 1_000
"""Steps in which a smaller table of 1,000 rows is learned."""

POSITIVE = (0.0, np.inf)

CANDIDATE_EPOCHS = 24
"""Epochs of a member of the model of candidates, which begins with mp36k."""


@dataclass(frozen=True)
class Plan:
    """A model that ships: where its data come from and how its members are trained.

    Parameters
    ----------
    table
        Reads crystals and targets.
    heads
        What is learned.
    credit, licence
        Of the data.
    recipe
        Of a member, by the number of training rows.
    width
        Features of a site in networks that begin at random.
    start
        The shipped model that the networks begin with.
    notes
        What one must know of the table.
    starts
        What relaxations of rows began with, where that is known.
    by_system
        Cut by chemical systems, not by formulas.
    """

    table: Callable[[], tuple[Crystals, np.ndarray]]
    heads: tuple[Head, ...]
    credit: str
    licence: str
    recipe: Callable[[int], Recipe]
    width: int
    start: str = ""
    notes: tuple[str, ...] = ()
    starts: Callable[[], Copies] | None = None
    by_system: bool = False


def mp36k() -> tuple[Crystals, np.ndarray]:
    """Crystals, energies and gaps of the Materials Project of 2018-2019."""
    crystals = read(str(DATA / "mp36k.jsonl.gz"), progress=False)
    columns = crystals.columns
    gaps = json.loads(gzip.decompress((DATA / "megnet_multifidelity_gaps.json.gz").read_bytes()))
    found = [
        np.asarray(columns[name], dtype=float)
        for name in ("formation_energy", "gap_pbe_megnet2018", "e_form_megnet2018")
    ]
    found += [
        np.array([gaps[name].get(one, np.nan) for one in columns["id"]], dtype=float)
        for name in ("hse", "gllb-sc", "scan")
    ]
    return crystals, np.stack(found, axis=1)


def elasticity() -> tuple[Crystals, np.ndarray]:
    """Base-ten logarithms of the bulk and shear moduli (GPa) of binary compounds."""
    crystals = read(str(DATA / "mp_binary_elasticity.json.gz"), progress=False)
    moduli = [
        np.asarray(crystals.columns[f"{name}_modulus_vrh"], dtype=float)
        for name in ("bulk", "shear")
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log10(np.stack(moduli, axis=1))
    return crystals, np.where(np.isfinite(logs), logs, np.nan)


def phonons() -> tuple[Crystals, np.ndarray]:
    """Last peak of the phonon density of states (1/cm), the Matbench task."""
    document = json.loads(gzip.decompress((DATA / "matbench_phonons.json.gz").read_bytes()))
    from pymatgen.core import Structure

    place = document["columns"].index("structure")
    crystals = Crystals.from_pymatgen([Structure.from_dict(row[place]) for row in document["data"]])
    return crystals, np.array([[float(row[1 - place])] for row in document["data"]])


def perovskites() -> tuple[Crystals, np.ndarray]:
    """Heats of formation (eV/atom) and gaps (eV) of ABX3 in the cubic perovskite cell."""
    batches = [read(str(DATA / f"perov5_{name}.csv"), progress=False) for name in ("val", "test")]
    crystals = Crystals.concat(batches)
    names = ("heat_all", "dir_gap", "ind_gap")
    return crystals, np.stack([np.asarray(crystals.columns[n], float) for n in names], axis=1)


def oxides() -> tuple[Crystals, np.ndarray]:
    """Formation energy per cation (eV) and gap (eV) of (Al,Ga,In)2O3; repeats by id are dropped."""
    crystals = read(str(DATA / "nomad2018_structures.jsonl.gz"), progress=False)
    _, first = np.unique(np.array(crystals.ids()), return_index=True)
    crystals = crystals.take(np.sort(first))
    names = OXIDE_COLUMNS
    return crystals, np.stack([np.asarray(crystals.columns[n], float) for n in names], axis=1)


OXIDE_COLUMNS = ("e_form_per_cation_atom", "gap")


def candidates() -> tuple[Crystals, np.ndarray]:
    """Formation energies (eV/atom) by CHGNet of relaxed candidates and of known compounds."""
    ends, energies = RelaxedCandidates.load().with_known(mp36k()[0])
    return ends, energies[:, None]


def candidate_starts() -> Copies:
    """What candidates were before they were relaxed."""
    starts = RelaxedCandidates.load().starts
    rows = np.arange(len(starts))
    return Copies(starts, rows, np.full(len(rows), -1, np.int64))


def large_recipe(rows: int) -> Recipe:
    """The recipe of mp36k."""
    return Recipe(epochs=EPOCHS, rate=RATE, decay=0.05, weights=WEIGHTS, precision="bfloat16")


def small_recipe(rows: int) -> Recipe:
    """The recipe of the smaller tables: what a user's table of that size gets, in fewer steps."""
    usual = training.usual_recipe(rows)
    epochs = max(1, round(usual.epochs * SMALL_STEPS / training.STEPS))
    return replace(usual, rate=RATE, epochs=epochs, patience=epochs)


def candidate_recipe(rows: int) -> Recipe:
    """Of networks that begin with mp36k and learn what candidates come to."""
    return Recipe(
        epochs=CANDIDATE_EPOCHS, rate=RATE / 2, decay=0.05, patience=CANDIDATE_EPOCHS,
        precision="bfloat16",
    )  # fmt: skip


PLANS = {
    "candidates": Plan(
        candidates,
        (
            Head(
                "formation_energy", "eV/atom", "formation energy once relaxed", "formation",
                chgnet_level("pbe"),
            ),
        ),
        "relaxations by CHGNet (Deng et al., Nat. Mach. Intell. 5, 1031, 2023) of candidates in "
        f"systems drawn by chance, and its energies of known compounds; {MATERIALS_PROJECT}",
        "CC BY 4.0",
        candidate_recipe,
        128,
        "mp36k",
        notes=(
            "the networks begin with mp36k, whose training side holds known compounds of the test "
            "systems; no candidate and no CHGNet energy of these is learned from",
        ),
        starts=candidate_starts,
        by_system=True,
    ),
    "mp36k": Plan(
        mp36k,
        (
            Head("formation_energy", "eV/atom", "formation energy", "formation", MP2018),
            Head("band_gap", "eV", "band gap (PBE)", bounds=POSITIVE, level=MP2018),
            Head(
                "formation_energy_2018", "eV/atom", "formation energy (snapshot of 2018)",
                "formation", MP2018,
            ),
            Head("band_gap_hse", "eV", "band gap (HSE)", bounds=POSITIVE),
            Head("band_gap_gllbsc", "eV", "band gap (GLLB-SC)", bounds=POSITIVE),
            Head("band_gap_scan", "eV", "band gap (SCAN)", bounds=POSITIVE),
        ),
        f"{MATERIALS_PROJECT}; other gaps as collected by Chen et al., Nat. Comput. Sci. 1, 46, "
        "2021",
        "CC BY 4.0",
        large_recipe,
        128,
    ),
    "elasticity": Plan(
        elasticity,
        (
            Head("bulk_modulus", "GPa", "bulk modulus (Voigt-Reuss-Hill)", logarithm=True),
            Head("shear_modulus", "GPa", "shear modulus (Voigt-Reuss-Hill)", logarithm=True),
        ),
        f"{MATERIALS_PROJECT}: de Jong et al., Sci. Data 2, 150009, 2015",
        "CC BY 4.0",
        small_recipe,
        64,
        "mp36k",
    ),
    "phonons": Plan(
        phonons,
        (Head("last_phonon_peak", "1/cm", "last peak of the phonon DOS", bounds=POSITIVE),),
        "Petretto et al., Sci. Data 5, 180065, 2018, as in Matbench (Dunn et al., npj Comput. "
        "Mater. 6, 138, 2020)",
        "CC BY 4.0",
        small_recipe,
        64,
        "mp36k",
    ),
    "perovskites": Plan(
        perovskites,
        (
            Head("heat_of_formation", "eV/atom", "heat of formation in the perovskite cell"),
            Head("direct_gap", "eV", "direct gap (GLLB-SC)", bounds=POSITIVE),
            Head("indirect_gap", "eV", "indirect gap (GLLB-SC)", bounds=POSITIVE),
        ),
        "Castelli et al., Energy Environ. Sci. 5, 5814, 2012, as collected by Xie et al. 2022",
        "CC BY 4.0",
        small_recipe,
        64,
        notes=(
            "the inputs are the cells as relaxed by the calculation that gave the heats and gaps: "
            "a figure for relaxed crystals presumes that calculation",
        ),
    ),
    "oxides": Plan(
        oxides,
        (
            Head("formation_energy_per_cation", "eV/cation", "formation energy per cation"),
            Head("band_gap", "eV", "band gap (PBE)", bounds=POSITIVE),
        ),
        "NOMAD 2018 competition: Sutton et al., npj Comput. Mater. 5, 111, 2019",
        "CC BY 4.0",
        small_recipe,
        64,
    ),
}  # fmt: skip


STEPS = ("prepare", "member", "outsider", "assemble", "recalibrate")
OUTSIDERS = "outsiders"
"""Keeps the outsiders, in the folder of the members."""


def main() -> None:
    """Run one step of one model."""
    arguments = _arguments()
    torch.set_num_threads(1)
    plan = PLANS[arguments.model]
    folder = _folder(arguments)
    data = data_of(plan, arguments)
    print(f"{arguments.model}: {data.parts.counts()}, {data.split}", flush=True)
    assert isinstance(data.inputs, Crystals)
    starts = None if plan.starts is None else plan.starts()
    prepared = prepare(data.inputs, data.parts, folder, starts=starts, said=print)
    if arguments.step == "member":
        recipe = recipe_of(plan, data, arguments.seed, arguments.epochs)
        train_member(plan, data, prepared, folder, recipe)
    if arguments.step == "outsider":
        seen = data_of_outsider(data, arguments.seed)
        recipe = recipe_of(plan, seen, FIRST_OUTSIDER + arguments.seed, arguments.epochs)
        train_member(plan, seen, prepared, folder / OUTSIDERS, recipe)
    if arguments.step in ("assemble", "recalibrate"):
        assemble_model(plan, data, prepared, folder, arguments)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("model", choices=sorted(PLANS))
    parser.add_argument("seed", type=int, nargs="?", default=0, help="of the member")
    parser.add_argument("--folder", type=Path, default=ROOT / "work", help="keeps everything")
    parser.add_argument("--split", choices=("hash", "few"), default="hash")
    parser.add_argument("--rows", type=int, help="only so many rows of the table, at random")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--out", type=Path, help="gets the model, instead of the package")
    parser.add_argument("--working", type=Path, help="the folder itself, where it has its own name")
    return parser.parse_args()


def _folder(arguments: argparse.Namespace) -> Path:
    if arguments.working is not None:
        return Path(arguments.working)
    part = "" if arguments.rows is None else f"-{arguments.rows}"
    return Path(arguments.folder) / f"{arguments.model}-{arguments.split}{part}"


def data_of(plan: Plan, arguments: argparse.Namespace) -> TrainingData:
    """The table of a model, cut into parts by the hash of formulas or of chemical systems."""
    crystals, targets = plan.table()
    if arguments.rows is not None:
        if plan.starts is not None:
            sys.exit(f"{arguments.model} is learned from the whole table: leave --rows out.")
        rows = np.random.default_rng(0).permutation(len(crystals))[: arguments.rows]
        crystals, targets = crystals.take(np.sort(rows)), targets[np.sort(rows)]
    formulas = crystals.reduced_formulas()
    if plan.by_system:
        formulas = crystals.compositions.systems()
    parts, name = parts_of(crystals, formulas, arguments.split)
    name = name.replace("reduced formula", "chemical system") if plan.by_system else name
    return TrainingData(
        crystals, targets, plan.heads, parts, name, arguments.model, plan.credit, plan.licence,
        notes=plan.notes,
    )  # fmt: skip


def parts_of(crystals: Crystals, formulas: list[str], split: str) -> tuple[Parts, str]:
    """Which rows serve for what.

    The training side is below 85 of the MD5 of the reduced formula modulo 100, or has few
    elements; of that, formulas are set aside by the same hash of "validation FORMULA".
    """
    first = np.array([splits.formula_hash(formula) for formula in formulas])
    second = np.array([splits.formula_hash("validation " + formula) for formula in formulas])
    if split == "hash":
        side = first < splits.TRAINING_PERCENT
        name = f"MD5 of the reduced formula below {splits.TRAINING_PERCENT}"
    else:
        side = np.diff(crystals.compositions.offsets) <= MOST_ELEMENTS
        name = f"up to {MOST_ELEMENTS} elements train"
    stops, calibrates = second < STOPPING_PERCENT, second < CALIBRATION_PERCENT
    parts = Parts(
        np.flatnonzero(side & ~calibrates),
        np.flatnonzero(side & stops),
        np.flatnonzero(side & calibrates & ~stops),
        np.flatnonzero(~side),
    )
    if len(parts.validation) < FEWEST_STOPPING:
        both = np.flatnonzero(side & calibrates)
        parts = replace(parts, validation=both, calibration=both)
    return parts, name


def start_of(plan: Plan) -> Start | None:
    """What the networks of a model begin with."""
    return Start.of(SHIPPED / plan.start) if plan.start else None


def shape_of(plan: Plan) -> BondNetworkShape:
    """The network of a model's members."""
    start, heads = start_of(plan), columns_of(plan.heads)
    return BondNetworkShape(heads, plan.width, 48, 4, 16) if start is None else (
        start.shape_for(heads)
    )  # fmt: skip


def recipe_of(plan: Plan, data: TrainingData, seed: int, epochs: int | None) -> Recipe:
    """How the member of a seed is trained."""
    recipe = replace(plan.recipe(len(data.parts.train)), seed=seed)
    return recipe if epochs is None else replace(recipe, epochs=epochs)


def data_of_outsider(data: TrainingData, number: int) -> TrainingData:
    """The same table without one half of its training formulas."""
    learned, _ = half_of(data.parts.train, data.formulas, number)
    return replace(data, parts=replace(data.parts, train=learned))


def train_member(
    plan: Plan, data: TrainingData, prepared: Prepared, folder: Path, recipe: Recipe
) -> None:
    """Train one member, or go on with it."""
    begun = time.time()

    def told(member: int, epoch: Any) -> None:
        errors = ", ".join(f"{name} {error:.4f}" for name, error in epoch.validation.items())
        print(
            f"member {member} epoch {epoch.number + 1}/{recipe.epochs}: {errors} (scaled), "
            f"{epoch.rows_per_second:.0f} rows/s, {time.time() - begun:.0f} s",
            flush=True,
        )

    watch = training.Watch(epoch=told)
    training.train_members(data, prepared, shape_of(plan), [recipe], folder, watch, start_of(plan))


@dataclass(frozen=True)
class Finished:
    """A network whose training is done."""

    state: dict[str, torch.Tensor]
    recipe: Recipe
    history: list[dict[str, Any]]


def finished(
    place: Path, plan: Plan, data: TrainingData, prepared: Prepared, epochs: int | None
) -> Finished | None:
    """The network of a folder, checked to be of this table, split and recipe."""
    tensors, metadata = read_tensors(place / "state.safetensors")
    state = json.loads(metadata["state"])
    recipe = recipe_of(plan, data, int(place.name[7:]), epochs)
    task = training.task_of(data, prepared, start_of(plan))
    if state["fingerprint"] != task.fingerprint(recipe):
        print(f"{place} is of other data, another split or another recipe: left out")
        return None
    done = len(state["history"])
    idle = done - 1 - state["best_epoch"]
    if done < recipe.epochs and idle < recipe.patience:
        print(f"{place.name} stands at epoch {done} of {recipe.epochs}: left out")
        return None
    best = {
        name.removeprefix("best."): value
        for name, value in tensors.items() if name.startswith("best.")
    }  # fmt: skip
    return Finished(best, recipe, state["history"])


def places_in(folder: Path) -> list[Path]:
    """Folders of networks, by their seeds."""
    return sorted(folder.glob("member-*"), key=lambda one: int(one.name[7:]))


def finished_members(
    plan: Plan, data: TrainingData, prepared: Prepared, folder: Path, epochs: int | None
) -> Members:
    """The members of a folder."""
    tried = [finished(place, plan, data, prepared, epochs) for place in places_in(folder)]
    found = [one for one in tried if one is not None]
    if not found:
        sys.exit(f"{folder} holds no finished member: run the step 'member' first.")
    start = start_of(plan)
    return Members(
        shape_of(plan), [one.state for one in found], Scaling.of(data.targets[data.parts.train]),
        [asdict(one.recipe) for one in found], [one.history for one in found],
        None if start is None else start.to_dict(),
    )  # fmt: skip


def shipped_members(name: str) -> Members:
    """The members that ship."""
    card = read_card(SHIPPED / name)
    states, scaling = read_weights(SHIPPED / name)
    return Members(
        BondNetworkShape.of(card["network"]["shape"]), states, scaling, card["recipes"],
        card["histories"], card["network"]["start"],
    )  # fmt: skip


def finished_outsiders(
    plan: Plan, data: TrainingData, prepared: Prepared, folder: Path, epochs: int | None
) -> list[Outsider]:
    """The outsiders of a folder, and the rows that each has not seen."""
    found = []
    for place in places_in(folder):
        number = int(place.name[7:]) - FIRST_OUTSIDER
        seen = data_of_outsider(data, number)
        network = finished(place, plan, seen, prepared, epochs)
        if network is not None:
            _, kept_out = half_of(data.parts.train, data.formulas, number)
            scaling = Scaling.of(data.targets[seen.parts.train])
            found.append(Outsider(network.state, scaling, kept_out))
    return found


def assemble_model(
    plan: Plan, data: TrainingData, prepared: Prepared, folder: Path, arguments: Any
) -> None:
    """Collect the members, fit what stands around them, judge, write model and report."""
    if arguments.step == "recalibrate":
        found = shipped_members(arguments.model)
    else:
        found = finished_members(plan, data, prepared, folder, arguments.epochs)
    outsiders = finished_outsiders(plan, data, prepared, folder / OUTSIDERS, arguments.epochs)
    taught = read_card(SHIPPED / arguments.model).get("outsiders")
    if arguments.step == "recalibrate" and taught and not outsiders:
        sys.exit(f"{folder} holds no finished outsider: run the step 'outsider' first.")
    found = replace(found, outsiders=outsiders)
    print(f"{len(found.states)} members, {len(outsiders)} outsiders", flush=True)
    usual = SHIPPED if arguments.split == "hash" else folder
    target = arguments.out or usual / arguments.model
    name = arguments.model if arguments.split == "hash" else f"{arguments.model}-few"
    made = assemble(data, found, prepared, target, name)
    write_report(made, data, folder / "report.html")
    for geometry, heads in made.model.card["metrics"].items():
        for head, figures in heads.items():
            if figures["crystals"]:
                print(_line(geometry, head, figures))
    size = sum(path.stat().st_size for path in target.iterdir()) / 1e6
    print(f"{target}: {size:.2f} MB; report: {folder / 'report.html'}")


def _line(geometry: str, head: str, figures: dict[str, Any]) -> str:
    cover = figures["coverage"][0]
    return (
        f"{geometry:9} {head:28} MAE {figures['mae']:.4f} [{figures['mae_from']:.4f}, "
        f"{figures['mae_to']:.4f}] {figures['unit']}, 90 % holds {cover['coverage']:.3f}, width "
        f"{cover['width']:.3f}, of constant {cover.get('width_ratio', float('nan')):.3f}, "
        f"n {figures['crystals']}"
    )


if __name__ == "__main__":
    main()
