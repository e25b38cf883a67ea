"""Rediscovery: how many oracle calls a campaign needs to find a compound that was hidden from it.

The rule, written before any run. Targets are crystals of the Materials Project snapshot (mp36k)
that lie on the hull of the whole snapshot (1e-6 eV/atom), have two or three elements, at most 8
atoms in the primitive cell, and no noble gas, no element from La to Lu and none beyond Bi. They
are taken in the order of the MD5 of their reduced formula, one of each chemical system: the first
ten whose structure type is among the 288 prototypes (`known type`), and the first ten whose type is
not (`other type`), so that partial substitution or random search must make it.

For each target every prototype of its reduced formula is withheld, formulas are enumerated from
the elements alone, and the model that predicts has seen no crystal of any target's chemical
system. Found means: the known structure (matched atom by atom) relaxed on the campaign's hull.
A target that the oracle itself does not put on the hull of the elements and of the compounds that
any run relaxed is reported as `not on the oracle's hull` and replaced by the next of the rule.

All ways draw from the same pool of candidates with the same oracle (CHGNet) and the same budget:
`mixed` (the product), `greedy` (the same model without its uncertainty), `random`. Relaxations are
remembered between runs outside the campaigns, which changes no count. Resumes where it stopped.

    python -m benchmarks.rediscovery            # hours on two cores; --targets, --seeds, --budget
    python -m benchmarks.rediscovery --quick    # two targets, one seed, a small budget
"""

from __future__ import annotations

from benchmarks.harness import Headline, data_folder, pin_threads, report

pin_threads()

import argparse
import gzip
import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs
from materialabs.crystals.descriptors import composition_descriptors
from materialabs.crystals.files.cells import lattice_from_parameters
from materialabs.crystals.protostructure import prototype_labels
from materialabs.crystals.prototypes import prototypes
from materialabs.crystals.structure_descriptors import structure_descriptors
from materialabs.crystals.symmetry import primitive
from materialabs.discovery.bench import Leasing
from materialabs.discovery.campaign import Campaign, discover
from materialabs.discovery.constraints import Constraints
from materialabs.discovery.results import relaxed_bytes, result_document
from materialabs.discovery.task_keys import task_keys
from materialabs.elements import SYMBOLS, atomic_number
from materialabs.generation.matching import match
from materialabs.hull import judge
from materialabs.levels import MP2018, Energies
from materialabs.oracles.oracle import DEFAULT_SETTINGS, BaseOracle, Evaluation, SaveState
from materialabs.oracles.parallel import ParallelOracle
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState
from materialabs.predictions import Prediction
from materialabs.store.store import Store

LARGEST_TARGET = 8
"""Atoms in the primitive cell."""

LARGEST_LEARNED = 20
"""Atoms in the largest crystal that the model learns from."""

WAYS = ("mixed", "greedy", "random")
ON_HULL = 1e-6
MEMBERS = 5
QUICK_STEP = 12
"""The quick version learns from every twelfth crystal."""

EACH_KIND = 10
CACHE = Path(tempfile.gettempdir()) / "materialabs-rediscovery"


# -- targets --------------------------------------------------------------------------------------


def snapshot() -> tuple[Crystals, np.ndarray]:
    """The snapshot's crystals and formation energies, eV/atom."""
    path = data_folder() / "structures" / "mp36k.jsonl.gz"
    lattices, fracs, numbers, energies, names = [], [], [], [], []
    with gzip.open(path, "rt") as file:
        for line in file:
            row = json.loads(line)
            lattices.append(lattice_from_parameters(*row["cell"]))
            fracs.append(row["frac"])
            numbers.append([atomic_number(symbol) for symbol in row["species"]])
            energies.append(row["e_form_per_atom"])
            names.append(row["mp_id"])
    return Crystals.from_arrays(lattices, fracs, numbers, columns={"id": names}), np.array(energies)


@dataclass(frozen=True)
class Target:
    """One compound to find: its formula, its system, its crystal, and how common its type is."""

    formula: str
    system: str
    crystal: Crystals
    kind: str


def targets(crystals: Crystals, energies: np.ndarray) -> Iterator[Target]:
    """All compounds that meet the rule, in its order."""
    hull = judge(crystals.compositions, Energies(energies, "formation", MP2018))
    kinds = np.diff(crystals.compositions.offsets)
    rare = np.array([_rare(number) for number in range(119)])
    odd = np.bincount(crystals.owners, rare[crystals.numbers], minlength=len(crystals)) > 0
    rows = np.flatnonzero((hull.distance <= ON_HULL) & (kinds >= 2) & (kinds <= 3) & ~odd
                          & (crystals.counts <= 4 * LARGEST_TARGET))  # fmt: skip
    cells = primitive(crystals[rows])
    rows = rows[cells.counts <= LARGEST_TARGET]
    formulas = crystals[rows].reduced_formulas()
    order = sorted(range(len(rows)), key=lambda i: hashlib.md5(formulas[i].encode()).hexdigest())
    shipped = set(prototype_labels(prototypes().crystals))
    seen: set[str] = set()
    for place in order:
        one = primitive(crystals[rows[[place]]])
        (system,) = one.compositions.systems()
        if system in seen:
            continue
        seen.add(system)
        kind = "known type" if prototype_labels(one)[0] in shipped else "other type"
        yield Target(formulas[place], system, one, kind)


def _rare(number: int) -> bool:
    return SYMBOLS[number] in ("He", "Ne", "Ar", "Kr", "Xe") or 57 <= number <= 71 or number > 83


# -- the model ------------------------------------------------------------------------------------


class Trees:
    """Boosted trees on composition and structure, five of them, each on its own part of the data.

    Nothing of the systems that are to be rediscovered is learned from.
    """

    model_id = "boosted trees on mp36k without the targets' systems"

    def __init__(self, crystals: Crystals, energies: np.ndarray, hidden: set[str]) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        inside = [system in hidden for system in crystals.compositions.systems()]
        kept = np.flatnonzero(~np.array(inside) & (crystals.counts <= LARGEST_LEARNED))
        x, y = described(crystals[kept]), energies[kept]
        parts = np.random.default_rng(0).integers(0, MEMBERS, len(kept))
        self.members = [
            HistGradientBoostingRegressor(max_iter=400, learning_rate=0.08, random_state=part)
            .fit(x[parts != part], y[parts != part])
            for part in range(MEMBERS)
        ]  # fmt: skip
        left = np.concatenate(
            [np.abs(model.predict(x[parts == part]) - y[parts == part])
             for part, model in enumerate(self.members)]
        )  # fmt: skip
        self.error = float(np.quantile(left, 0.6827))
        self.mean_error = float(left.mean())

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Formation energies at the snapshot's level, eV/atom."""
        x = described(crystals)
        members = np.stack([model.predict(x) for model in self.members])
        spread = np.sqrt(self.error**2 + members.var(axis=0))
        return Prediction(
            members.mean(axis=0), spread, "eV/atom", self.model_id, level=MP2018, kind="formation",
            members=members,
        )  # fmt: skip


def described(crystals: Crystals) -> np.ndarray:
    """Statistics of the elements, and how the crystal is built [n, d]."""
    bare = crystals.replace(columns=None, site_columns=None)
    return np.concatenate(
        [composition_descriptors(bare.compositions).values, structure_descriptors(bare).values],
        axis=1,
    )


# -- the oracle, remembering ----------------------------------------------------------------------


class Remembering(BaseOracle):
    """An oracle that keeps each answer on disk, so that no run pays for another's relaxations."""

    def __init__(self, inner: BaseOracle, folder: Path) -> None:
        self.inner, self.folder = inner, folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def level(self) -> Any:
        """That of the oracle itself."""
        return self.inner.level

    def evaluate(self, crystals: Crystals) -> Evaluation:
        """As the oracle itself."""
        return self.inner.evaluate(crystals)

    def stream(
        self,
        crystals: Crystals,
        settings: RelaxationSettings = DEFAULT_SETTINGS,
        *,
        states: Mapping[int, RelaxationState] | None = None,
        save: SaveState | None = None,
    ) -> Iterator[tuple[int, Relaxation]]:
        """What is remembered first, then what the oracle says."""
        keys = task_keys(crystals, self.level, settings)
        fresh = []
        for index, key in enumerate(keys):
            known = self._read(key)
            if known is None:
                fresh.append(index)
            else:
                yield index, known
        if fresh:
            rows = np.array(fresh)
            for index, relaxation in self.inner.stream(crystals[rows], settings):
                self._write(keys[fresh[index]], relaxation)
                yield fresh[index], relaxation

    def _read(self, key: str) -> Relaxation | None:
        path = self.folder / f"{key}.json"
        if not path.exists():
            return None
        document = json.loads(path.read_text())
        crystal = from_blobs([bytes.fromhex(document.pop("crystal"))])
        energy = document["energy"]
        atoms = len(crystal.frac)
        return Relaxation(
            crystal, np.nan if energy is None else energy, np.zeros((atoms, 3)), np.zeros((3, 3)),
            document["status"], document["reason"], document["steps"], document["force_calls"],
            document["seconds"], self.level,
        )  # fmt: skip

    def _write(self, key: str, relaxation: Relaxation) -> None:
        document = result_document(relaxation, "") | {"crystal": relaxed_bytes(relaxation).hex()}
        temporary = self.folder / f"{key}.part"
        temporary.write_text(json.dumps(document))
        temporary.replace(self.folder / f"{key}.json")


# -- one run --------------------------------------------------------------------------------------


def calls_until_found(campaign: Campaign, target: Target) -> int | None:
    """Which call relaxed the target on the final hull, counted from one."""
    findings = campaign.findings
    if findings.missing:
        return None
    stable = {
        one.key for one, distance in zip(findings.good, findings.distances, strict=True)
        if distance <= 5e-5
    }  # fmt: skip
    for place, one in enumerate(findings.listed):
        if one.key in stable and one.formula == target.formula:
            relaxed = one.relaxed.replace(columns=None, site_columns=None)
            known = target.crystal.replace(columns=None, site_columns=None)
            if match(relaxed, known).same[0]:
                return place + 1
    return None


def lowest_at_formula(campaign: Campaign, target: Target, oracle: BaseOracle) -> float:
    """How far the target itself, relaxed by the oracle, lies above the campaign's hull."""
    findings = campaign.findings
    (relaxed,) = oracle.relax(target.crystal.replace(columns=None, site_columns=None))
    if not relaxed.usable or findings.missing:
        return float("nan")
    table = np.array([findings.references.get(z, 0.0) for z in range(119)])
    x = relaxed.crystal.compositions
    elements = float((x.amounts * table[x.elements]).sum() / x.atoms[0])
    energies = Energies([relaxed.energy - elements], "formation", findings.request.hull_level)
    return float(findings.hull.distance(relaxed.crystal, energies)[0])


def run(
    target: Target, way: str, seed: int, budget: int, model: Trees, oracle: BaseOracle
) -> dict[str, Any]:
    """One campaign in a store of its own."""
    atoms = max(LARGEST_TARGET, int(target.crystal.counts[0]))
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "lab.db", keys=Path(folder) / "keys") as store,
    ):
        campaign = discover(
            target.system, budget, store, oracle=oracle, model=model, strategy=way, seed=seed,
            constraints=Constraints(max_atoms=atoms), withheld=[target.formula], batch=6,
            leasing=Leasing(together=8),
        )  # fmt: skip
        found = calls_until_found(campaign, target)
        above = lowest_at_formula(campaign, target, oracle)
        calls = campaign.findings.calls
    return {"found_at": found, "target_above_hull": above, "calls": calls,
            "seconds": time.perf_counter() - began}  # fmt: skip


def main() -> None:
    """Run what is not done yet, then report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--targets", type=int, default=EACH_KIND, help="of each kind")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    if options.quick:
        options.targets, options.seeds, options.budget = 1, 1, 16
    crystals, energies = snapshot()
    every = list(targets(crystals, energies))
    kinds = ("known type", "other type")
    waiting = {kind: [one for one in every if one.kind == kind] for kind in kinds}
    hidden = {one.system for kind in kinds for one in waiting[kind][: 2 * options.targets]}
    part = slice(None, None, QUICK_STEP if options.quick else None)
    model = Trees(crystals[part], energies[part], hidden)
    print(f"model: {model.mean_error:.3f} eV/atom on crystals kept from it")
    oracle = Remembering(ParallelOracle("chgnet", processes=options.processes), CACHE / "answers")
    results: list[dict[str, Any]] = []
    for kind in kinds:
        taken = 0
        for target in waiting[kind][: 2 * options.targets]:
            if taken == options.targets:
                break
            runs = [
                remembered(target, way, seed, options.budget, model, oracle)
                for seed in range(options.seeds)
                for way in WAYS
            ]
            stable = np.nanmin([one["target_above_hull"] for one in runs]) <= 5e-5
            results.append({"target": target, "runs": runs, "stable": bool(stable)})
            taken += bool(stable)
            print(target.formula, kind, [one["found_at"] for one in runs], "" if stable else
                  "not on the oracle's hull: replaced", flush=True)  # fmt: skip
    rows, headline = judged(results, options.budget)
    if options.quick:
        print(json.dumps(rows, indent=1, default=str))
        return
    report("rediscovery", rows, headline, note=__doc__.split("\n\n")[1])


def remembered(
    target: Target, way: str, seed: int, budget: int, model: Trees, oracle: BaseOracle
) -> dict[str, Any]:
    """A run, or what it gave when it was made before."""
    path = CACHE / f"{target.formula}-{way}-{seed}-{budget}.json"
    if path.exists():
        found: dict[str, Any] = json.loads(path.read_text())
        return found
    done = {"way": way, "seed": seed} | run(target, way, seed, budget, model, oracle)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(done))
    temporary.replace(path)
    return done


def judged(results: list[dict[str, Any]], budget: int) -> tuple[list[dict[str, Any]], Headline]:
    """Rows for each target and way, and the ratio of calls to the best peer."""
    rows: list[dict[str, Any]] = []
    totals: dict[str, list[float]] = {way: [] for way in WAYS}
    for one in results:
        target: Target = one["target"]
        row: dict[str, Any] = {"name": target.formula, "kind": target.kind,
                               "on_oracle_hull": one["stable"]}  # fmt: skip
        for way in WAYS:
            mine = [run for run in one["runs"] if run["way"] == way]
            calls = [run["found_at"] or budget for run in mine]
            row[f"{way}_calls"] = float(np.median(calls))
            row[f"{way}_found_runs"] = sum(run["found_at"] is not None for run in mine)
            if one["stable"]:
                totals[way].append(float(np.mean(calls)))
        rows.append(row)
    listed = list(rows)
    for kind in ("known type", "other type"):
        chosen = [row for row in listed if row["kind"] == kind and row["on_oracle_hull"]]
        half = len(results[0]["runs"]) / len(WAYS) / 2
        counts = {
            f"{way}_found": sum(row[f"{way}_found_runs"] > half for row in chosen) for way in WAYS
        }
        rows.append({"name": f"all of {kind}", "targets": len(chosen), **counts})
    means = {way: float(np.mean(values)) if values else float("nan")
             for way, values in totals.items()}  # fmt: skip
    rows.append({"name": "mean calls until found, censored at the budget", **means})
    best = min(means["greedy"], means["random"])
    return rows, Headline(best / means["mixed"], "times fewer calls than the best peer", 1.0, 2.0)


if __name__ == "__main__":
    main()
