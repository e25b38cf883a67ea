"""How many known compounds the generator finds again once their formulas are taken away.

500 compounds of mp36k; every crystal of their formulas is removed from the parents, and the
table to substitute by is mined from what remains. For each compound the candidates of its
chemical system are ranked by the generator's probability alone, and pymatgen's StructureMatcher
(defaults) says which candidate, if any, is the compound.

Peers on the same parents: pymatgen's ion substitution (its own table, threshold and charge
balance, every combination of the elements' ions wanted); its proposals are computed with arrays
and compared with pymatgen itself for a sample in the run. PyXtal, for 20 small compounds, is told
the composition and draws random crystals for a stated time.

``python -m benchmarks.recall`` takes about ten minutes on two cores; ``--quick`` takes a minute,
on 20 compounds and a tenth of the parents, and writes nothing.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import time
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import reduce
from math import gcd
from typing import Any

from benchmarks.harness import Headline, data_folder, pin_threads, report

pin_threads()

import numpy as np

SEED = 20
TARGETS = 500
LIMIT = 10_000
FIRST = 1_000
THRESHOLD = 1e-3
PYXTAL_TARGETS = 20
PYXTAL_SITES = 8
PYXTAL_SECONDS = 10.0
PROCESSES = 2
CHECKED = 3


@dataclass
class Found:
    """Rank of the compound among each generator's candidates; 0 where it is not among them."""

    rank: int
    candidates: int
    peer_rank: int
    peer_candidates: int


class Work:
    """What the processes share: parents, targets and the peer's ions."""

    pool: Any
    targets: Any
    hautier: Any
    ions: list[Any]
    free_names: list[str]


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    started = time.perf_counter()
    prepare(20 if quick else TARGETS, 10 if quick else 1)
    ready = time.perf_counter() - started
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        found = pool.map(search, range(len(Work.targets)), chunksize=5)
        searched = time.perf_counter() - started - ready
        small = small_targets(2 if quick else PYXTAL_TARGETS)
        drawn = pool.map(pyxtal_finds, small, chunksize=1)
    checked = peer_agrees(1 if quick else CHECKED)
    publish(found, drawn, [found[index] for index in small], (ready, searched), checked, quick)


def prepare(count: int, thin: int) -> None:
    """Choose the targets, take their formulas from the parents, and analyse what is left."""
    from materialabs.crystals.batch import Crystals
    from materialabs.crystals.files import read
    from materialabs.crystals.symmetry import primitive, symmetry
    from materialabs.generation.families import families
    from materialabs.generation.mining import mined_table
    from materialabs.generation.oxidation import likely_oxidation_states
    from materialabs.generation.pool import ParentPool
    from materialabs.generation.substitution import SubstitutionTable

    everything = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    assert isinstance(everything, Crystals)
    formulas = np.array(everything.reduced_formulas())
    compounds = np.flatnonzero(np.diff(everything.compositions.offsets) > 1)
    chosen = np.array(sorted(random.Random(SEED).sample(compounds.tolist(), count)))
    rest = np.flatnonzero(~np.isin(formulas, formulas[chosen]))[::thin]
    known = everything[rest]
    found = symmetry(known)
    grouped = families(known, found=found)
    Work.pool = ParentPool(known, grouped, mined_table(known, grouped))
    _ = Work.pool.groups, Work.pool.gain
    Work.targets = primitive(everything[chosen])
    Work.hautier = SubstitutionTable.hautier()
    states = likely_oxidation_states(known.compositions)
    Work.ions = []
    offsets = known.compositions.offsets
    for index in range(len(known)):
        charge = dict(
            zip(
                known.compositions.elements[offsets[index] : offsets[index + 1]].tolist(),
                states.states[offsets[index] : offsets[index + 1]].tolist(),
                strict=True,
            )
        )
        elements = Work.pool.elements_of(index)
        rows = [Work.hautier.row(element, charge[element]) for element in elements]
        Work.ions.append(np.array(rows, dtype=np.int64))


def search(index: int) -> Found:
    """Rank one target among the candidates of both generators."""
    from materialabs.generation.systems import ranked_assignments

    system = Work.targets[index].compositions.systems()[0]
    ranked = ranked_assignments(system, Work.pool, limit=LIMIT)
    peer = peer_assignments(index)[:LIMIT]
    return Found(rank_of(index, ranked), len(ranked), rank_of(index, peer), len(peer))


def rank_of(index: int, ranked: list[Any]) -> int:
    """Position, from 1, of the first candidate that StructureMatcher takes for the target."""
    from pymatgen.core.structure_matcher import StructureMatcher

    from materialabs.crystals.symmetry import primitive
    from materialabs.generation.systems import built_assignments

    target = Work.targets[index]
    wanted = reduced(Counter(target.numbers.tolist()))
    rows = [row for row, one in enumerate(ranked) if reduced(contents(one)) == wanted]
    if not rows:
        return 0
    built = primitive(built_assignments(Work.pool, [ranked[row] for row in rows]))
    matcher = StructureMatcher(primitive_cell=False)
    structure = target.to_pymatgen()[0]
    for place, row in enumerate(rows):
        if built.counts[place] == len(target.frac) and matcher.fit(
            structure, built[place].to_pymatgen()[0]
        ):
            return row + 1
    return 0


def contents(assignment: Any) -> Counter[int]:
    """Atoms of a candidate's cell by element."""
    roles = Work.pool.families.role[Work.pool.span(assignment.template)]
    elements = np.array(assignment.elements)
    if assignment.shared is None:
        counts = np.bincount(roles, minlength=len(elements)).tolist()
        total: Counter[int] = Counter()
        for element, count in zip(assignment.elements, counts, strict=True):
            total[element] += count
        return total
    patterns, choice, joined = assignment.shared
    numbers = elements[roles[patterns.parent_site]]
    return Counter(np.where(patterns.patterns[choice], joined, numbers).tolist())


def reduced(amounts: Counter[int]) -> tuple[tuple[int, int], ...]:
    """Amounts over their common divisor, in order."""
    divisor = reduce(gcd, amounts.values())
    return tuple(sorted((element, amount // divisor) for element, amount in amounts.items()))


def peer_assignments(index: int) -> list[Any]:
    """What pymatgen's substitution proposes for the target's system, duplicates removed."""
    from materialabs.generation.substitution_kernels import likely_products
    from materialabs.generation.systems import Assignment

    elements = np.unique(Work.targets[index].numbers)
    wanted = np.flatnonzero(np.isin(Work.hautier.numbers, elements))
    factors = Work.hautier.factors.T[:, wanted]
    order = np.argsort(-factors, axis=1, kind="stable")
    ranked = np.ascontiguousarray(np.take_along_axis(factors, order, axis=1))
    choices = np.ascontiguousarray(order.astype(np.int32))
    best: dict[object, Any] = {}
    if len(np.unique(Work.hautier.numbers[wanted])) < len(elements):
        return []
    for parent, rows in enumerate(Work.ions):
        if len(rows) != len(elements) or rows.min() < 0:
            continue
        found, products = likely_products(ranked, choices, rows, THRESHOLD)
        if len(found) == 0:
            continue
        ions = wanted[found]
        counts = np.bincount(Work.pool.families.role[Work.pool.span(parent)])
        neutral = np.abs(Work.hautier.charges[ions] @ counts) < 1e-9
        numbers = Work.hautier.numbers[ions]
        every = np.array([len(set(row)) == len(elements) for row in numbers.tolist()])
        for row in np.flatnonzero(neutral & every):
            new = tuple(int(number) for number in numbers[row])
            key = (int(Work.pool.families.family[parent]), new)
            if key not in best or products[row] > best[key].probability:
                best[key] = Assignment(parent, new, float(products[row]))
    return sorted(best.values(), key=lambda one: -one.probability)


def peer_agrees(count: int) -> int:
    """Compare the arrays' proposals with pymatgen's own predictor; gives the number compared."""
    from pymatgen.core import Species
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor

    from materialabs.generation.ions import parse_ion
    from materialabs.generation.substitution import substitutions

    predictor = SubstitutionPredictor(threshold=THRESHOLD)
    usable = [rows for rows in Work.ions if rows.min() >= 0 and 2 <= len(rows) <= 3]
    for rows in random.Random(SEED).sample(usable, count):
        names = [Work.hautier.names[row] for row in rows]
        species = [Species(*_symbol(parse_ion(name))) for name in names]
        theirs = {
            tuple((s.Z, s.oxi_state) for s in one["substitutions"]): one["probability"]
            for one in predictor.list_prediction(species, to_this_composition=True)
        }
        ions, products = substitutions(Work.hautier, [rows], threshold=THRESHOLD).of(0)
        ours = {
            tuple(
                (int(Work.hautier.numbers[ion]), float(Work.hautier.charges[ion])) for ion in row
            ): product
            for row, product in zip(ions.tolist(), products.tolist(), strict=True)
        }
        assert ours.keys() == theirs.keys(), "the peer's proposals differ from pymatgen's"
        assert all(abs(ours[key] - theirs[key]) < 1e-9 for key in ours)
    return count


def _symbol(ion: tuple[int, float]) -> tuple[str, float]:
    from materialabs.elements import SYMBOLS

    return SYMBOLS[ion[0]], ion[1]


def small_targets(count: int) -> list[int]:
    """A seeded choice of targets of few sites."""
    small = np.flatnonzero(Work.targets.counts <= PYXTAL_SITES).tolist()
    return sorted(random.Random(SEED).sample(small, min(count, len(small))))


def pyxtal_finds(index: int) -> tuple[bool, int]:
    """Whether random crystals of the target's very composition hit it in time, and how many."""
    from pymatgen.core.structure_matcher import StructureMatcher
    from pyxtal import pyxtal

    from materialabs.elements import SYMBOLS

    target = Work.targets[index].to_pymatgen()[0]
    tally = Counter(Work.targets[index].numbers.tolist())
    species = [SYMBOLS[number] for number in tally]
    draw = random.Random(SEED + index)
    matcher = StructureMatcher()
    made, found, end = 0, False, time.perf_counter() + PYXTAL_SECONDS
    while made < LIMIT and not found and time.perf_counter() < end:
        cells = draw.choice((1, 2, 4))
        crystal = pyxtal()
        try:
            crystal.from_random(
                3, draw.randint(1, 230), species, [cells * n for n in tally.values()],
                seed=draw.randint(0, 2**31),
            )  # fmt: skip
        except Exception:  # PyXtal refuses impossible cells with several kinds of errors
            continue
        if crystal.valid:
            made += 1
            found = bool(matcher.fit(target, crystal.to_pymatgen()))
    return found, made


def publish(
    found: list[Found],
    drawn: list[tuple[bool, int]],
    same: list[Found],
    seconds: tuple[float, float],
    checked: int,
    quick: bool,
) -> None:
    """Write the result file, or print the figures of a quick run."""

    def share(ranks: list[int], first: int) -> float:
        return sum(0 < rank <= first for rank in ranks) / len(ranks)

    ours, peer = [one.rank for one in found], [one.peer_rank for one in found]
    rows = [
        {
            "name": "materialabs, table mined from the parents",
            "targets": len(found),
            "recall_at_1000": share(ours, FIRST),
            "recall_at_10000": share(ours, LIMIT),
            "recall_at_10": share(ours, 10),
            "recall_at_100": share(ours, 100),
            "median_candidates": float(np.median([one.candidates for one in found])),
        },
        {
            "name": "pymatgen ion substitution",
            "recall_at_1000": share(peer, FIRST),
            "recall_at_10000": share(peer, LIMIT),
            "recall_at_10": share(peer, 10),
            "recall_at_100": share(peer, 100),
            "median_candidates": float(np.median([one.peer_candidates for one in found])),
            "lists_compared_with_pymatgen": checked,
        },
        {
            "name": f"PyXtal told the composition, {PYXTAL_SECONDS:g} s a target",
            "targets": len(drawn),
            "recall": sum(hit for hit, _ in drawn) / len(drawn),
            "median_crystals": float(np.median([made for _, made in drawn])),
            "materialabs_on_these_at_1000": share([one.rank for one in same], FIRST),
        },
        {"name": "time", "analysing_parents_s": seconds[0], "searching_s": seconds[1],
         "processes": PROCESSES},
    ]  # fmt: skip
    headline = Headline(share(ours, LIMIT), "share of compounds", share(peer, LIMIT), 0.8)
    if quick:
        for row in rows:
            print(row)
        return
    report("recall", rows, headline, "ranked by the generator's probability alone; mp36k: the "
           "Materials Project, CC BY 4.0")  # fmt: skip


if __name__ == "__main__":
    main()
