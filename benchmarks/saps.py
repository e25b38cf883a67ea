"""Unique candidate structures a second by ion substitution, against pymatgen.

100 ordered compounds of mp36k, a seeded choice among those of at most 40 sites whose oxidation
states balance and are all in Hautier's table. Both sides are given the same oxidation states,
the same table (pymatgen's, GNoME's changes off) and the same threshold.

* enumeration: every likely assignment of new ions, 100 parents; the sets and probabilities are
  compared for every one of them.
* end to end: from the same parents to unique crystals in which every atom of the changed ions
  is replaced. pymatgen: predictor, replacement of species, grouping by StructureMatcher within
  each formula. The numbers of unique crystals are both given.

For parents of two ions the enumeration is also compared with trying everything.

``python -m benchmarks.saps`` takes about five minutes; ``--quick`` a few seconds on 4 parents
and writes nothing.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections import defaultdict
from typing import Any

from benchmarks.harness import Headline, data_folder, measure, pin_threads, report

pin_threads()

import numpy as np

SEED = 7
PARENTS = 100
MOST_SITES = 40
THRESHOLD = 1e-3
BRUTE_FORCE = 5
AGREEMENT = 1e-9


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    warnings.filterwarnings("ignore")
    parents = chosen_parents(4 if quick else PARENTS)
    theirs, predictions = pymatgen_end_to_end(parents)
    listed = enumeration(parents, predictions)
    brute_force(parents)
    ours = end_to_end(parents)
    figure = ours["structures_per_s"] / theirs["structures_per_s"]
    rows = [
        {"name": "enumeration, materialabs", **listed},
        {"name": "end to end, materialabs", **ours},
        {"name": "enumeration and end to end, pymatgen", **theirs},
        *partial_rows(parents[: 2 if quick else 30]),
        {
            "name": "ratios",
            "enumeration_x": theirs["enumeration_s"] / listed["median_s"],
            "enumeration_bar_x": 200,
            "enumeration_aim_x": 1000,
            "end_to_end_x": figure,
            "end_to_end_without_their_grouping_x": ours["structures_per_s"]
            / theirs["structures_per_s_ungrouped"],
        },
    ]
    if quick:
        for row in rows:
            print(row)
        return
    report("saps", rows, Headline(figure, "x pymatgen, end to end", 20, 50))


def chosen_parents(count: int) -> Any:
    """The parents, with oxidation states."""
    from materialabs.crystals.files import read
    from materialabs.generation.oxidation import (
        BALANCED,
        likely_oxidation_states,
        with_oxidation_states,
    )
    from materialabs.generation.substitution import SubstitutionTable

    everything: Any = read(data_folder() / "structures" / "mp36k.jsonl.gz")
    table = SubstitutionTable.hautier()
    compositions = everything.compositions
    found = likely_oxidation_states(compositions)
    rows = []
    order = list(range(len(everything)))
    random.Random(SEED).shuffle(order)
    for index in order:
        span = slice(compositions.offsets[index], compositions.offsets[index + 1])
        ions = zip(compositions.elements[span].tolist(), found.states[span].tolist(), strict=True)
        fits = all(table.row(element, state) >= 0 for element, state in ions)
        if fits and found.how[index] == BALANCED and everything.counts[index] <= MOST_SITES:
            rows.append(index)
        if len(rows) == count:
            break
    return with_oxidation_states(everything[np.array(rows)])


def ion_lists(parents: Any) -> list[list[str]]:
    """The ions of each parent as text."""
    from collections import Counter

    from materialabs.generation.parents import prepared
    from materialabs.generation.substitution import SubstitutionTable

    ready = prepared(parents, SubstitutionTable.hautier(), Counter())
    return [list(ions.names) for ions in ready.ions]


def enumeration(parents: Any, predictions: list[list[dict[str, Any]]]) -> dict[str, Any]:
    """Time the enumeration and compare what it finds with pymatgen's, parent by parent."""
    from materialabs.generation.substitution import SubstitutionTable, substitutions

    table = SubstitutionTable.hautier()
    names = ion_lists(parents)
    lists = [table.rows_of(one) for one in names]
    timing = measure(lambda: substitutions(table, lists, threshold=THRESHOLD), repeats=5)
    for index, theirs in enumerate(predictions):
        compare(table, names[index], timing.result.of(index), theirs)
    return {
        **timing.figures(),
        "assignments": len(timing.result),
        "parents": len(names),
        "sets_equal": len(predictions),
    }


def compare(table: Any, names: list[str], ours: Any, theirs: list[dict[str, Any]]) -> None:
    """Ours and pymatgen's proposals for one parent are the same, ions and probabilities."""
    ions, products = ours
    mine = {
        frozenset((table.names[ion], old) for ion, old in zip(row, names, strict=True)): product
        for row, product in zip(ions.tolist(), products.tolist(), strict=True)
    }
    other = {
        frozenset((_text(new), _text(old)) for new, old in one["substitutions"].items()): one[
            "probability"
        ]
        for one in theirs
    }
    assert mine.keys() == other.keys(), "the enumeration differs from pymatgen's"
    assert all(abs(mine[key] - other[key]) < AGREEMENT for key in mine), "probabilities differ"


def _text(species: Any) -> str:
    from materialabs.generation.ions import ion_text

    return ion_text(species.Z, float(species.oxi_state))


def brute_force(parents: Any) -> None:
    """For parents of two ions the search finds just what trying every pair finds."""
    from materialabs.generation.substitution import SubstitutionTable, substitutions

    table = SubstitutionTable.hautier()
    pairs = [one for one in ion_lists(parents) if len(one) == 2][:BRUTE_FORCE]
    for names in pairs:
        first, second = table.rows_of(names)
        products = table.factors[:, first][:, None] * table.factors[:, second][None, :]
        np.fill_diagonal(products, 0.0)
        wanted = set(zip(*map(np.ndarray.tolist, np.nonzero(products > THRESHOLD)), strict=True))
        found, _ = substitutions(table, [[first, second]], threshold=THRESHOLD).of(0)
        assert {tuple(row) for row in found.tolist()} == wanted, "brute force finds others"


def end_to_end(parents: Any) -> dict[str, Any]:
    """From parents to unique crystals."""
    from materialabs.generation.saps import saps
    from materialabs.generation.substitution import SubstitutionTable
    from materialabs.generation.ways import WholeIons

    table = SubstitutionTable.hautier()
    timing = measure(lambda: saps(parents, table=table, ways=[WholeIons()], threshold=THRESHOLD))
    made = len(timing.result)
    return {
        **timing.figures(),
        "structures": made,
        "structures_per_s": made / timing.median,
    }


def pymatgen_end_to_end(parents: Any) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """Predictor, replacement and grouping; unchanged and repeated products are left out."""
    from pymatgen.core.structure_matcher import ElementComparator, StructureMatcher
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionPredictor

    structures = parents.to_pymatgen()
    predictor = SubstitutionPredictor(threshold=THRESHOLD)
    start = time.perf_counter()
    predictions = [
        predictor.list_prediction(list(structure.composition), to_this_composition=True)
        for structure in structures
    ]
    enumerated = time.perf_counter() - start
    products: dict[str, list[Any]] = defaultdict(list)
    for structure, found in zip(structures, predictions, strict=True):
        for one in found:
            swap = {old: new for new, old in one["substitutions"].items()}
            if any(old.symbol != new.symbol for old, new in swap.items()):
                product = structure.copy()
                product.replace_species(swap)
                formula = product.composition.element_composition.reduced_formula
                products[formula].append(product)
    ungrouped = time.perf_counter() - start
    matcher = StructureMatcher(comparator=ElementComparator())
    unique = sum(
        len(matcher.group_structures(group)) if len(group) > 1 else 1 for group in products.values()
    )
    seconds = time.perf_counter() - start
    made = sum(map(len, products.values()))
    figures = {
        "repeats": 1,
        "enumeration_s": enumerated,
        "median_s": seconds,
        "structures": unique,
        "structures_per_s": unique / seconds,
        "structures_ungrouped": made,
        "structures_per_s_ungrouped": made / ungrouped,
    }
    return figures, predictions


def partial_rows(parents: Any) -> list[dict[str, Any]]:
    """Partial substitution, which the peer does not do, by GNoME's table."""
    from materialabs.generation.saps import saps
    from materialabs.generation.ways import SiteChoices, WholeOrbits

    rows = []
    for name, way in (("whole orbits", WholeOrbits()), ("single sites", SiteChoices())):
        timing = measure(lambda way=way: saps(parents, ways=[way]), repeats=1)
        made = len(timing.result)
        rows.append(
            {
                "name": f"partial, {name}, {len(parents)} parents",
                "structures": made,
                "structures_per_s": made / timing.median,
            }
        )
    return rows


if __name__ == "__main__":
    main()
