"""One campaign of the rediscovery benchmark, and its peers on the same pool of candidates."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rediscovery_targets import LARGEST_TARGET, Snapshot, Target, bare
from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import from_blobs
from materialabs.crystals.compositions import Compositions
from materialabs.crystals.prototypes import prototypes
from materialabs.crystals.references import reference_crystals
from materialabs.discovery import archive
from materialabs.discovery.campaign import Campaign, discover
from materialabs.discovery.candidates import from_templates, make_candidates
from materialabs.discovery.constraints import Constraints
from materialabs.discovery.request import CampaignRequest
from materialabs.discovery.results import relaxed_bytes, result_document
from materialabs.discovery.task_keys import task_keys
from materialabs.discovery.watching import Silent
from materialabs.generation.pool import ParentPool
from materialabs.hull import Hull
from materialabs.levels import Energies, Level
from materialabs.oracles.oracle import DEFAULT_SETTINGS, BaseOracle, Evaluation, SaveState
from materialabs.oracles.relaxation import Relaxation, RelaxationSettings, RelaxationState
from materialabs.predictions import Prediction
from materialabs.store.store import Store

SAME = 1e-3
"""eV/atom above the hull up to which a phase counts as on it: that of GNoME's released crystals
(Merchant et al., Nature 624, 80, 2023), and what two relaxations of one crystal may differ by."""

LARGEST_KNOWN = 40
"""Atoms in the largest known compound that the oracle's own hull is drawn from."""

MOST_CHECKED = 60
"""Likeliest candidates of a target's formula that the oracle is asked about before any run."""

CONSTRAINTS = Constraints(max_atoms=LARGEST_TARGET)

Relaxed = Sequence[tuple[str, float]]
"""Formula and total energy, eV/atom."""


# -- the oracle, remembering -----------------------------------------------------------------------


class Remembering(BaseOracle):
    """An oracle that keeps each answer on disk, so that no run pays for another's relaxations."""

    def __init__(self, inner: BaseOracle, folder: Path) -> None:
        self.inner, self.folder = inner, folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def level(self) -> Any:
        """That of the oracle itself."""
        return self.inner.level

    @property
    def campaign_settings(self) -> RelaxationSettings:
        """Those of the oracle itself."""
        return self.inner.campaign_settings

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
            for place, relaxation in self.inner.stream(crystals[np.array(fresh)], settings):
                self._write(keys[fresh[place]], relaxation)
                yield fresh[place], relaxation

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
        write_json(self.folder / f"{key}.json", document)


def write_json(path: Path, document: Any) -> None:
    """Write a file whole or not at all."""
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


# -- the network, listening ------------------------------------------------------------------------


@dataclass
class Listening:
    """A network that answers each crystal once, and remembers which candidates it was shown.

    Parameters
    ----------
    model
        What answers.
    answers
        Kept for all campaigns of a target.
    shown
        Candidates of the running campaign, each once, in the order in which they came.
    """

    model: Any
    answers: dict[str, Prediction] = field(default_factory=dict)
    shown: dict[str, Crystals] = field(default_factory=dict)

    @property
    def model_id(self) -> str:
        """Of the network."""
        return str(self.model.model_id)

    def predict(self, crystals: Crystals, *, relaxed: bool = False) -> Prediction:
        """Formation energies, from memory where they are there."""
        names = _names(crystals)
        fresh = [row for row, name in enumerate(names) if name not in self.answers]
        if fresh:
            told = self.model.predict(bare(crystals[np.array(fresh)]), relaxed=relaxed)
            for place, row in enumerate(fresh):
                self.answers[names[row]] = told[[place]]
        if "generator" in crystals.columns:
            for row, name in enumerate(names):
                if name not in self.shown:
                    self.shown[name] = crystals[[row]]
        return Prediction.concat([self.answers[name] for name in names])


def _names(crystals: Crystals) -> list[str]:
    """One name for each crystal as it is written."""
    names = []
    for row in range(len(crystals)):
        span = slice(int(crystals.offsets[row]), int(crystals.offsets[row + 1]))
        parts = (crystals.lattice[row], crystals.frac[span], crystals.numbers[span])
        names.append(hashlib.sha1(b"".join(np.ascontiguousarray(part).tobytes()
                                           for part in parts)).hexdigest())  # fmt: skip
    return names


# -- what the oracle itself says -------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Truth:
    """A target as the oracle sees it.

    Parameters
    ----------
    target
        What is to be found.
    energy
        Of the known structure, relaxed as it is or displaced first, whichever is lower; eV/atom.
    relaxed
        Elements, known compounds of the system, and the generator's likeliest candidates of the
        target's formula.
    """

    target: Target
    energy: float
    relaxed: Relaxed

    def above_hull(self, more: Relaxed = ()) -> float:
        """Distance of the known structure from the hull of everything relaxed, eV/atom."""
        if not np.isfinite(self.energy):
            return np.inf
        formulas = [self.target.formula, *(formula for formula, _ in (*self.relaxed, *more))]
        totals = np.array([self.energy, *(energy for _, energy in (*self.relaxed, *more))])
        cells = Compositions.parse(formulas)
        table = np.zeros(119)
        kinds = np.diff(cells.offsets)
        for row in np.flatnonzero(kinds == 1):
            element = cells.elements[cells.offsets[row]]
            table[element] = min(table[element], totals[row])
        owner = np.repeat(np.arange(len(cells)), kinds)
        pure = np.bincount(owner, cells.amounts * table[cells.elements]) / cells.atoms
        level = f"{self.target.system} by the oracle"
        return float(Hull(cells, _energies(totals - pure, level)).distances[0])

    def is_found_by(self, relaxed: Relaxation) -> bool:
        """Whether a relaxation came to the known structure, as low as it lies itself."""
        if not relaxed.usable or relaxed.energy > self.energy + SAME:
            return False
        crystal = bare(relaxed.crystal)
        return crystal.reduced_formulas()[0] == self.target.formula and _matched(
            crystal, self.target.crystal
        )


def _energies(values: np.ndarray, level: str) -> Energies:
    return Energies(values, "formation", Level(level))


def _matched(one: Crystals, other: Crystals) -> bool:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    return bool(StructureMatcher().fit(one.to_pymatgen()[0], other.to_pymatgen()[0]))


def truth_of(target: Target, snapshot: Snapshot, oracle: BaseOracle) -> Truth:
    """Relax everything known of the system, and what the generator proposes of the formula."""
    settings = oracle.campaign_settings
    ways = [oracle.relax(target.crystal, replace(settings, symmetry=kind))[0]
            for kind in ("free", "broken")]  # fmt: skip
    own = [one.energy for one in ways
           if one.usable and _matched(bare(one.crystal), target.crystal)]  # fmt: skip
    elements = bare(reference_crystals(target.system.split("-")))
    known = snapshot.of_system(target.system, LARGEST_KNOWN)
    request = CampaignRequest(target.system, oracle.level, constraints=CONSTRAINTS)
    likely = from_templates(request, parents_without(target.formula))
    made = make_candidates(request, likely, 1, known=Crystals.empty())
    same = np.flatnonzero(np.array(made.crystals.reduced_formulas()) == target.formula)
    relaxed = [
        relaxation
        for batch in (elements, known, bare(made.crystals[same[:MOST_CHECKED]]))
        if len(batch)
        for relaxation in oracle.relax(batch, settings)
    ]
    return Truth(target, min(own, default=np.nan), listed([*ways, *relaxed]))


def listed(relaxed: list[Relaxation]) -> Relaxed:
    """Formula and energy of those that have one."""
    return [(one.crystal.reduced_formulas()[0], float(one.energy)) for one in relaxed if one.usable]


@cache
def parents_without(formula: str) -> ParentPool:
    """The prototypes without those of a formula, as a campaign analyses them."""
    shipped = prototypes().crystals
    shipped = shipped[~np.isin(shipped.reduced_formulas(), [formula])]
    names = [f"prototype {name}" for name in shipped.ids()]
    return ParentPool.of(shipped.replace(columns={"id": names}, site_columns=None))


# -- the campaign ----------------------------------------------------------------------------------


class Found(Exception):  # noqa: N818 - ends a campaign that has done what it was for
    """The target is found."""


class Lookout(Silent):
    """Ends a campaign after the round in which the target was found."""

    def __init__(self, store: Store, truth: Truth) -> None:
        self.store, self.truth = store, truth

    def closed(self, number: int, report: dict[str, Any]) -> None:
        """Look at what is there."""
        if calls_until_found(the_campaign(self.store), self.truth) is not None:
            raise Found


def the_campaign(store: Store) -> Campaign:
    """The only campaign of a store."""
    return Campaign(store, archive.listed(store)[-1])


def calls_until_found(campaign: Campaign, truth: Truth) -> int | None:
    """Which call relaxed a crystal to the target, counted from one."""
    for place, one in enumerate(campaign.findings.listed):
        result = one.result
        if one.formula != truth.target.formula or result["energy"] is None:
            continue
        relaxed = Relaxation(
            one.relaxed, result["energy"], np.zeros((0, 3)), np.zeros((3, 3)), result["status"],
            "", 0, 0, 0.0, campaign.row.request.level,
        )  # fmt: skip
        if truth.is_found_by(relaxed):
            return place + 1
    return None


def campaign_run(
    truth: Truth, seed: int, budget: int, model: Listening, oracle: BaseOracle, strategy: str,
    *, to_the_end: bool = False,
) -> tuple[dict[str, Any], Crystals]:  # fmt: skip
    """One campaign in a store of its own, and the candidates that it chose from.

    It ends with the round that finds the target, or with its budget ``to_the_end``.
    """
    began = time.process_time()
    target = truth.target
    model.shown.clear()
    with (
        tempfile.TemporaryDirectory() as folder,
        Store(Path(folder) / "lab.db", keys=Path(folder) / "keys") as store,
    ):
        with suppress(Found):
            discover(
                target.system, budget, store, oracle=oracle, model=model, strategy=strategy,
                seed=seed, constraints=CONSTRAINTS, withheld=[target.formula],
                watcher=Silent() if to_the_end else Lookout(store, truth),
            )  # fmt: skip
        campaign = the_campaign(store)
        findings = campaign.findings
        document = {
            "found_at": calls_until_found(campaign, truth),
            "calls": findings.calls,
            "given": sum(one.given for one in findings.listed),
            "relaxed": [(one.formula, float(one.result["energy"])) for one in findings.good],
            "rounds": len(campaign.rounds),
            "cpu_seconds": time.process_time() - began,
        }
    return document, Crystals.concat(list(model.shown.values()))


# -- the peers -------------------------------------------------------------------------------------


def calls_in_order(
    order: np.ndarray, pool: Crystals, truth: Truth, given: int, budget: int, oracle: BaseOracle
) -> int | None:
    """Which call would have found the target, had the pool been relaxed in this order.

    Only candidates of the target's formula can be it, so that the others need not be relaxed.
    """
    formulas = np.array(pool.reduced_formulas())
    for place, row in enumerate(order[: max(budget - given, 0)].tolist()):
        if formulas[row] == truth.target.formula:
            (relaxed,) = oracle.relax(bare(pool[[row]]), oracle.campaign_settings)
            if truth.is_found_by(relaxed):
                return given + place + 1
    return None


def random_order(pool: Crystals, seed: int) -> np.ndarray:
    """The pool in random order."""
    return np.random.default_rng([seed, len(pool)]).permutation(len(pool))


def pymatgen_order(pool: Crystals, formula: str, seed: int) -> np.ndarray:
    """What pymatgen's ion substitution proposes, most probable first, then the rest at random."""
    from benchmarks.rediscovery_peer import pymatgen_probabilities

    chance = pymatgen_probabilities(pool, parents_without(formula))
    shuffled = random_order(pool, seed)
    return shuffled[np.argsort(-chance[shuffled], kind="stable")]
