"""Duplicates: pairs of the same reduced formula, and a grouping of 100,000 crystals.

Crystals are those of mp36k whose reduced formula has an odd first byte in its md5; tolerances
were chosen on the other half. For every pair of entries a, b of one formula (at most
``PAIRS_A_FORMULA`` of a formula) there are two pairs: a with a transformed copy of itself, and a
with a transformed copy of b. A transformation is a random supercell of up to four cells in a
random setting, a random origin, rotation and order of the atoms, every atom moved by a distance
of up to 0.1 angstrom in a random direction (one distance for all atoms of a crystal, drawn
evenly), and a symmetric strain with every component within up to 2 % (one bound a crystal, drawn
evenly).

A pair of entries counts as two polymorphs when StructureMatcher tells the entries themselves
apart, with its defaults and also with attempt_supercell=True (without it, it calls two entries
different whenever their primitive cells hold different numbers of atoms, even where no atom is
displaced). Pairs that it does not tell apart are left out, and counted. StructureMatcher's own
false merges are thus those that the transformation brings about.

Takes about three minutes, and some ten more for the labels the first time; these are kept in the
folder for temporary files.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

from benchmarks.harness import Headline, data_folder, measure, pin_threads, report

pin_threads()

import numpy as np
from numpy.typing import NDArray

from benchmarks.disturbed_copies import RATTLE, STRAIN, Disturbance, copies
from materialabs.crystals.batch import Crystals
from materialabs.elements import atomic_number

PAIRS_A_FORMULA = 2000
PEER_PAIRS = 2000
GROUPED = 100_000
PEER_GROUPED = 400
SEED = 20251120


def read(limit: int | None) -> Crystals:
    """Crystals of mp36k whose formula falls in the half kept for judging."""
    from ase.cell import Cell

    lattices, fracs, numbers, ids = [], [], [], []
    with gzip.open(data_folder() / "structures" / "mp36k.jsonl.gz", "rt") as lines:
        for line in lines:
            row = json.loads(line)
            lattices.append(Cell.fromcellpar(row["cell"]).array)
            fracs.append(row["frac"])
            numbers.append([atomic_number(symbol) for symbol in row["species"]])
            ids.append(row["mp_id"])
            if limit is not None and len(ids) == limit:
                break
    everything = Crystals.from_arrays(lattices, fracs, numbers, columns={"id": ids})
    odd = [
        hashlib.md5(formula.encode()).digest()[0] % 2 == 1
        for formula in everything.reduced_formulas()
    ]
    return everything[np.array(odd)]


def entry_pairs(crystals: Crystals, generator: np.random.Generator) -> NDArray[np.int64]:
    """Pairs of entries of the same reduced formula [m, 2]."""
    members: dict[str, list[int]] = {}
    for index, formula in enumerate(crystals.reduced_formulas()):
        members.setdefault(formula, []).append(index)
    chosen: list[tuple[int, int]] = []
    for group in members.values():
        pairs = list(combinations(group, 2))
        if len(pairs) > PAIRS_A_FORMULA:
            kept = generator.choice(len(pairs), PAIRS_A_FORMULA, replace=False)
            pairs = [pairs[k] for k in kept]
        chosen += pairs
    return np.array(chosen, dtype=np.int64).reshape(-1, 2)


# -- labels -----------------------------------------------------------------------------------


def judge(pair: tuple[Crystals, Crystals]) -> bool:
    """Whether StructureMatcher calls two entries the same, supercells included."""
    from pymatgen.core.structure_matcher import StructureMatcher

    warnings.simplefilter("ignore")
    first, second = (one.to_pymatgen()[0] for one in pair)
    if StructureMatcher().fit(first, second):
        return True
    few, many = sorted(len(one.get_primitive_structure()) for one in (first, second))
    if few == many or many % few:
        return False
    return bool(StructureMatcher(attempt_supercell=True).fit(first, second))


def labels(crystals: Crystals, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether the entries of each pair are the same by StructureMatcher; kept for later runs."""
    text = repr([crystals.ids()[row] for row in pairs.ravel()])
    key = hashlib.sha256((text + "supercells tried").encode()).hexdigest()[:16]
    kept = Path(tempfile.gettempdir()) / f"materialabs-dedupe-labels-{key}.json"
    if kept.exists():
        return np.array(json.loads(kept.read_text()), dtype=bool)
    jobs = ((crystals[int(a)], crystals[int(b)]) for a, b in pairs)
    with ProcessPoolExecutor(max_workers=2) as pool:
        same = list(pool.map(judge, jobs, chunksize=64))
    kept.write_text(json.dumps(same))
    return np.array(same)


# -- rows -------------------------------------------------------------------------------------


def errors(same: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, Any]:
    """False merges among polymorphs and false splits among copies."""
    merges, splits = same & ~truth, ~same & truth
    return {
        "false_merges": int(merges.sum()),
        "false_merges_percent": round(100 * float(merges.sum() / (~truth).sum()), 4),
        "false_splits": int(splits.sum()),
        "false_splits_percent": round(100 * float(splits.sum() / truth.sum()), 4),
    }


def peer_pairs(first: Crystals, second: Crystals) -> tuple[NDArray[np.bool_], float]:
    """StructureMatcher's answers and its seconds, structures made beforehand."""
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher()
    jobs = list(zip(first.to_pymatgen(), second.to_pymatgen(), strict=True))
    start = time.perf_counter()
    same = [bool(matcher.fit(a, b)) for a, b in jobs]
    return np.array(same), time.perf_counter() - start


def pair_rows(
    crystals: Crystals, pairs: NDArray[np.int64], same: NDArray[np.bool_], peer_count: int
) -> tuple[list[dict[str, Any]], float]:
    """Rows on pairs, and the ratio of times on the same pairs."""
    from materialabs.generation.matching import match

    kept = pairs[~same]
    rows = np.concatenate([kept[:, 0], kept[:, 0]])
    first = crystals[rows]
    second = copies(crystals, np.concatenate([kept[:, 0], kept[:, 1]]), SEED)
    truth = np.arange(len(rows)) < len(kept)
    ours = measure(lambda: match(first, second).same, repeats=3)
    generator = np.random.default_rng(SEED)
    sample = generator.choice(len(rows), min(peer_count, len(rows)), replace=False)
    ours_there = measure(lambda: match(first[sample], second[sample]).same, repeats=5)
    peer, seconds = peer_pairs(first[sample], second[sample])
    ratio = seconds / ours_there.median
    table = [
        {
            "name": "pairs", "pairs": len(rows),
            "left_out_as_one_crystal": int(same.sum()),
            "mean_atoms": float(second.counts.mean()),
            "microseconds_a_pair": 1e6 * ours.median / len(rows),
            **errors(ours.result, truth), **ours.figures(),
        },
        {
            "name": "pairs that StructureMatcher also judged", "pairs": len(sample),
            "microseconds_a_pair": 1e6 * ours_there.median / len(sample),
            **errors(ours_there.result, truth[sample]), **ours_there.figures(),
        },
        {
            "name": "StructureMatcher defaults", "pairs": len(sample),
            "microseconds_a_pair": 1e6 * seconds / len(sample), "ratio": ratio,
            "agreement_percent": 100 * float((peer == ours_there.result).mean()),
            **errors(peer, truth[sample]),
        },
    ]  # fmt: skip
    table += hard_rows(crystals, kept)
    table.append(entry_row(crystals, pairs, same))
    return table, ratio


def hard_rows(crystals: Crystals, kept: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Copies disturbed as far as is asked for, and further."""
    from materialabs.generation.matching import match

    chosen = np.unique(kept[:, 0])
    full = Disturbance(RATTLE, STRAIN)
    normal = Disturbance(RATTLE, STRAIN, gaussian=True)
    plain = crystals[chosen]
    one = copies(crystals, chosen, SEED + 1, fixed=full)
    two = copies(crystals, chosen, SEED + 2, fixed=full)
    wild = copies(crystals, chosen, SEED + 3, fixed=normal)
    return [
        {"name": name, "pairs": len(chosen), "false_splits": int((~match(a, b).same).sum())}
        for name, a, b in (
            ("copies at the full rattle and strain", plain, one),
            ("two such copies of one crystal", one, two),
            ("copies with normal displacements of 0.1 angstrom along each axis", plain, wild),
        )
    ]


def entry_row(
    crystals: Crystals, pairs: NDArray[np.int64], same: NDArray[np.bool_]
) -> dict[str, Any]:
    """Entries as they stand, those left out included."""
    from materialabs.generation.matching import match

    ours = match(crystals[pairs[:, 0]], crystals[pairs[:, 1]]).same
    return {
        "name": "entries as they stand", "pairs": len(pairs),
        "same_by_both": int((ours & same).sum()),
        "same_by_structure_matcher_alone": int((~ours & same).sum()),
        "same_by_materialabs_alone": int((ours & ~same).sum()),
    }  # fmt: skip


def distinct_entries(pairs: NDArray[np.int64], same: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Entries of which every two of one formula are known to be polymorphs."""
    different: dict[int, set[int]] = {}
    for (a, b), one in zip(pairs.tolist(), same, strict=True):
        different.setdefault(a, set())
        different.setdefault(b, set())
        if not one:
            different[a].add(b)
            different[b].add(a)
    formula: dict[int, int] = {}
    for a, b in pairs.tolist():
        root = formula.setdefault(a, a)
        formula.setdefault(b, root)
    chosen: dict[int, list[int]] = {}
    for entry, others in different.items():
        family = chosen.setdefault(formula[entry], [])
        if all(other in others for other in family):
            family.append(entry)
    return np.array(sorted(entry for family in chosen.values() for entry in family))


def grouping_errors(labels: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Any]:
    """Crystals led by another crystal's copy, and copies not led by the first of their kind."""
    _, leader, inverse = np.unique(labels, return_index=True, return_inverse=True)
    leaders = leader[inverse]
    _, first, kind = np.unique(truth, return_index=True, return_inverse=True)
    merged = truth[leaders] != truth
    split = ~merged & (leaders != leaders[first[kind]])
    return {
        "groups": len(leader),
        "true_groups": len(first),
        "wrongly_merged": int(merged.sum()),
        "wrongly_merged_percent": round(100 * float(merged.mean()), 4),
        "wrongly_split": int(split.sum()),
        "wrongly_split_percent": round(100 * float(split.mean()), 4),
    }


def grouping_rows(
    crystals: Crystals, entries: NDArray[np.int64], count: int, peer_count: int
) -> list[dict[str, Any]]:
    """A mixture of copies, grouped whole, in parts and by the peer."""
    from pymatgen.core.structure_matcher import StructureMatcher

    from materialabs.generation.duplicates import duplicates

    generator = np.random.default_rng(SEED)
    truth = entries[generator.integers(len(entries), size=count)]
    mixture = copies(crystals, truth, SEED + 4)
    duplicates(mixture[:100])
    table = []
    for size in (count // 4, count // 2, count):
        timing = measure(lambda size=size: duplicates(mixture[:size]), repeats=1, warm=0)
        table.append(
            {
                "name": f"grouping of {size}", "seconds": timing.median,
                "microseconds_a_crystal": 1e6 * timing.median / size,
                **grouping_errors(timing.result, truth[:size]),
            }
        )  # fmt: skip
    kinds = np.unique(truth)[: max(peer_count * len(entries) // count, 2)]
    few = np.flatnonzero(np.isin(truth, kinds))
    part, part_truth = mixture[few], truth[few]
    ours = measure(lambda: duplicates(part), repeats=3)
    structures = part.to_pymatgen()
    place = {id(structure): index for index, structure in enumerate(structures)}
    start = time.perf_counter()
    groups = StructureMatcher().group_structures(structures)
    seconds = time.perf_counter() - start
    theirs = np.empty(len(part), np.int64)
    for label, group in enumerate(groups):
        theirs[[place[id(structure)] for structure in group]] = label
    return [
        *table,
        {"name": f"grouping of {len(part)} of them", "seconds": ours.median,
         **grouping_errors(ours.result, part_truth)},
        {"name": f"StructureMatcher grouping of the same {len(part)}", "seconds": seconds,
         "ratio": seconds / ours.median, **grouping_errors(theirs, part_truth)},
    ]  # fmt: skip


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="seconds, and no result file")
    quick = parser.parse_args().quick
    warnings.simplefilter("ignore")
    crystals = read(3000 if quick else None)
    pairs = entry_pairs(crystals, np.random.default_rng(SEED))
    if quick:
        pairs = pairs[:100]
    same = labels(crystals, pairs)
    rows, ratio = pair_rows(crystals, pairs, same, 40 if quick else PEER_PAIRS)
    entries = distinct_entries(pairs, same)
    rows += grouping_rows(
        crystals, entries, 600 if quick else GROUPED, 40 if quick else PEER_GROUPED
    )
    if quick:
        for row in rows:
            print(row)
        return
    headline = Headline(ratio, "times StructureMatcher on the same pairs", 50, 500)
    report("dedupe", rows, headline, note=__doc__ or "")


if __name__ == "__main__":
    main()
