"""Relax candidates of chemical systems drawn by chance: what a network must know of candidates.

::

    python scripts/relax_candidates.py --folder work/candidates --systems 300
    python scripts/train_shipped_models.py ...                    # a first model of candidates
    python scripts/relax_candidates.py --folder work/candidates \
        --first 300 --systems 600 --model candidates
    python scripts/train_shipped_models.py ...                    # a second one
    python scripts/relax_candidates.py --folder work/candidates \
        --first 600 --systems 950 --model candidates --lowest 16 --chance 8
    python scripts/relax_candidates.py --folder work/candidates --pack
    python scripts/relax_candidates.py --folder work/candidates --again
    python scripts/relax_candidates.py --folder work/candidates --again --pack
    python scripts/relax_candidates.py --folder work/seldom --seldom --model candidates \
        --systems 160 --lowest 12
    python scripts/relax_candidates.py --folder work/seldom --seldom --pack

A table of compounds holds crystals near their hull. A network that has seen nothing else takes
every candidate for one of these. Here candidates are made as a campaign makes them, in systems
drawn by chance, and relaxed by CHGNet: in each system some that the shipped network puts lowest
and some by chance. Known compounds get CHGNet's energy as they are. Each system is one file in the
folder, so that a stopped run goes on; ``--first`` and ``--step`` share the work among processes.
``--pack`` joins all files into the table that ``train_shipped_models.py`` and the benchmarks read.
``--again`` relaxes what the table holds once more, as thoroughly as a campaign does, and with
``--pack`` puts what it came to in place. ``--seldom`` takes systems and known compounds with an
element that the first ones leave out, relaxes thoroughly, and with ``--pack`` adds them.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import torch
from benchmarks.relaxed_candidates import (
    LARGEST_FORMATION,
    SELDOM,
    RelaxedCandidates,
    formation_energies,
    holding,
)

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.crystals.prototypes import prototypes
from materialabs.crystals.references import reference_crystals
from materialabs.discovery.acquisition import diverse
from materialabs.discovery.candidates import from_templates, make_candidates
from materialabs.discovery.forecasting import Remembering, above_all
from materialabs.discovery.parents import LARGEST_PARENT
from materialabs.discovery.request import CampaignRequest
from materialabs.elements import SYMBOLS
from materialabs.generation.candidates import Candidates
from materialabs.generation.pool import ParentPool
from materialabs.hull import Hull
from materialabs.levels import Energies
from materialabs.networks.models import Model, load_model
from materialabs.oracles.named import oracle_by_name
from materialabs.oracles.oracle import DEFAULT_SETTINGS, Oracle
from materialabs.oracles.relaxation import THOROUGH, RelaxationSettings

ROOT = Path(__file__).parent.parent


RARE_GASES = ("He", "Ne", "Ar", "Kr", "Xe")

ELEMENTS = tuple(symbol for symbol in SYMBOLS[1:84] if symbol not in SELDOM + RARE_GASES)

HYDROGEN = 0.3
"""Share of the systems of seldom elements that hold hydrogen."""

COMMON = ("O", "S", "F", "Cl", "N", "Si", "P", "Se")
"""One system in two holds one of these, as known compounds do."""

LARGEST_START = 16
"""Atoms of a candidate that is relaxed at most."""

LOWEST, CHANCE = 8, 6
"""Candidates of a system that the network puts lowest, and by chance, unless told otherwise."""

FAVOURED = 16
"""Formulas that random crystals are drawn for, as a campaign draws them."""

SCALE = 0.05
"""eV/atom; how fast a candidate's worth falls with its distance from the hull of all."""

KNOWN, LARGEST_KNOWN = 16_000, 24
"""Known compounds whose energy is computed, and their atoms at most."""

KNOWN_FILE = "known.npz"

USABLE = ("converged", "not_converged")
"""How a relaxation ends whose energy is learned from."""

MOST_SWOLLEN = 3.0
"""Times that a candidate's volume may grow or shrink."""

SHOWN = ("Mg", "Si", "O")
"""Elements of the system that README and tutorial search."""

AT_ONCE = 32
"""Crystals whose energies are computed together."""

AGAIN_AT_ONCE = 200
"""Crystals that are relaxed again between two files."""

Elements = tuple[Crystals, np.ndarray]
"""Crystals of the elements and their total energies, eV/atom."""

SEED = 2_026


def system_of(number: int, seldom: bool = False) -> tuple[str, ...]:
    """The elements of a system, drawn by its number: two or three."""
    rng = np.random.default_rng([SEED, number, 2] if seldom else [SEED, number])
    size = 2 if rng.random() < 0.35 else 3
    first = [str(rng.choice(COMMON))] if rng.random() < 0.5 else []
    if seldom:
        first = [*first[: size - 1], one_seldom(rng)]
    rest = [symbol for symbol in ELEMENTS if symbol not in first]
    return tuple(sorted(first + [str(s) for s in rng.choice(rest, size - len(first), False)]))


def one_seldom(rng: np.random.Generator) -> str:
    """One of the elements that other systems leave out."""
    return "H" if rng.random() < HYDROGEN else str(rng.choice(SELDOM[1:]))


def chosen_candidates(
    system: tuple[str, ...], number: int, model: Model, lowest: int, chance: int
) -> Crystals:
    """Candidates of a system: the lowest by the network, and some by chance."""
    oracle_level = oracle_by_name("chgnet").level
    request = CampaignRequest("-".join(system), oracle_level, seed=number)
    pure, asked = reference_crystals(system), Remembering(model)
    likely = small(from_templates(request, template_pool()))
    best = lowest_of(likely.crystals, pure, asked, FAVOURED)
    formulas = list(dict.fromkeys(likely.crystals[best].reduced_formulas()))
    made = small(make_candidates(request, likely, 1, known=pure, favoured=formulas)).crystals
    if not len(made):
        return made
    low = lowest_of(made, pure, asked, lowest)
    others = np.setdiff1d(np.arange(len(made)), low)
    rng = np.random.default_rng([SEED, number, 1])
    by_chance = rng.permutation(others)[:chance]
    return made[np.concatenate([low, by_chance])].replace(columns=None, site_columns=None)


@cache
def template_pool() -> ParentPool:
    """The prototypes, analysed."""
    shipped = prototypes().crystals
    return ParentPool.of(shipped[shipped.counts <= LARGEST_PARENT])


def small(candidates: Candidates) -> Candidates:
    """Those that are small enough to be relaxed in plenty."""
    rows = np.flatnonzero(candidates.crystals.counts <= LARGEST_START)
    return Candidates(candidates.crystals[rows], candidates.reasons)


def lowest_of(crystals: Crystals, pure: Crystals, asked: Remembering, count: int) -> np.ndarray:
    """Those that the network puts lowest above the hull of all, of unlike compositions."""
    if not len(crystals):
        return np.zeros(0, dtype=np.int64)
    told = asked.predict(crystals).energies()
    zero = Energies(np.zeros(len(pure)), "formation", told.level)
    distance = above_all(crystals.compositions, Hull(pure.compositions, zero))(told)
    return diverse(np.exp(-distance / SCALE), crystals.compositions, count)


def known_compounds() -> Crystals:
    """Compounds of mp36k by chance."""
    crystals = small_compounds()
    rows = np.flatnonzero(made_of(crystals, ELEMENTS))
    rows = np.random.default_rng(SEED).permutation(rows)[:KNOWN]
    return crystals[np.sort(rows)]


def seldom_compounds() -> Crystals:
    """All compounds of mp36k that hold a seldom element."""
    crystals = small_compounds()
    rows = made_of(crystals, ELEMENTS + SELDOM) & ~made_of(crystals, ELEMENTS)
    return crystals[np.flatnonzero(rows)]


def small_compounds() -> Crystals:
    """The smaller crystals of mp36k."""
    data = Path(os.environ.get("MATERIALABS_DATA", ROOT.parent / "shared" / "data"))
    crystals = read(str(data / "structures" / "mp36k.jsonl.gz"), progress=False)
    return crystals[np.flatnonzero(crystals.counts <= LARGEST_KNOWN)].replace(site_columns=None)


def made_of(crystals: Crystals, symbols: Sequence[str]) -> np.ndarray:
    """Which crystals hold these elements alone [n]."""
    return ~holding(crystals, [one for one in SYMBOLS[1:] if one not in symbols])


def relax(
    oracle: Oracle, crystals: Crystals, settings: RelaxationSettings = DEFAULT_SETTINGS
) -> tuple[Crystals, Crystals, np.ndarray]:
    """Starts, what they became, and energies per atom, of those that went well."""
    streamed = oracle.stream(crystals, settings)
    done = [(row, one) for row, one in streamed if one.status in USABLE]
    done.sort(key=lambda one: one[0])
    rows = np.array([row for row, _ in done], dtype=np.int64)
    ends = Crystals.concat([one.crystal for _, one in done]) if done else Crystals.empty()
    return crystals[rows], ends, np.array([one.energy for _, one in done])


def relaxed_elements(
    oracle: Oracle, settings: RelaxationSettings, seldom: bool
) -> tuple[Crystals, Crystals, np.ndarray]:
    """Elements before and after, and energies; each group by itself, so that it ends as always."""
    groups = (ELEMENTS, SELDOM) if seldom else (ELEMENTS,)
    found = [relax(oracle, reference_crystals(group), settings) for group in groups]
    starts, ends, energies = zip(*found, strict=True)
    return Crystals.concat(list(starts)), Crystals.concat(list(ends)), np.concatenate(energies)


def energies_of(oracle: Oracle, crystals: Crystals) -> np.ndarray:
    """Energies per atom of crystals as they are, batch by batch."""
    return np.concatenate([oracle.evaluate(part).energies for part in crystals.chunks(AT_ONCE)])


def keep(path: Path, starts: Crystals, ends: Crystals, energies: np.ndarray) -> None:
    """Write a system's relaxations, whole or not at all."""
    bare = [one.replace(columns=None, site_columns=None) for one in (starts, ends)]
    part = path.with_name(f"part-{path.name}")
    np.savez(
        part, energies=energies,
        starts=np.frombuffer(bare[0].to_bytes(), np.uint8),
        ends=np.frombuffer(bare[1].to_bytes(), np.uint8),
    )  # fmt: skip
    part.replace(path)


def pack(folder: Path, known: Crystals) -> RelaxedCandidates:
    """Join the files of a folder; the known compounds are those of its file.

    Left out are crystals far above their elements, those that flew apart or fell together, and
    all of the system that the examples search, so that what is found there means something.
    """
    elements = kept(folder / "elements.npz")[1:]
    paths = sorted(path for path in folder.glob("*.npz") if path.name[0].isdigit())
    starts, ends, totals = zip(*map(kept, paths), strict=True)
    last = Crystals.concat(list(ends))
    energies = formation_energies(last.compositions, np.concatenate(totals), elements)
    first = Crystals.concat(list(starts))
    swelling = np.abs(np.log(last.volumes / first.volumes))
    whole = (energies < LARGEST_FORMATION) & (swelling < np.log(MOST_SWOLLEN))
    good = np.flatnonzero(whole & ~made_of(last, SHOWN))
    told = formation_energies(known.compositions, kept(folder / KNOWN_FILE)[2], elements)
    rows = np.flatnonzero(np.isfinite(told) & ~made_of(known, SHOWN))
    names = tuple(str(known.columns["id"][row]) for row in rows)
    return RelaxedCandidates(first[good], last[good], energies[good], names, told[rows])


def pack_more(folder: Path) -> RelaxedCandidates:
    """The packed table with what a folder of thorough relaxations adds to it."""
    table, more = RelaxedCandidates.load(), pack(folder, seldom_compounds())
    if set(table.known) & set(more.known):
        sys.exit("The table holds what is to be added already.")
    return RelaxedCandidates(
        Crystals.concat([table.starts, more.starts]), Crystals.concat([table.ends, more.ends]),
        np.concatenate([table.energies, more.energies]), table.known + more.known,
        np.concatenate([table.known_energies, more.known_energies]),
    )  # fmt: skip


def relax_again(folder: Path, oracle: Oracle, first: int, step: int) -> None:
    """Relax the ends of the packed table thoroughly, part by part."""
    table = RelaxedCandidates.load()
    place = folder / "elements-again.npz"
    if first == 0 and not place.exists():
        keep(place, *relax(oracle, reference_crystals(ELEMENTS), THOROUGH))
    parts = -(-len(table.ends) // AGAIN_AT_ONCE)
    for number in range(first, parts, step):
        place, begun = folder / f"again-{number:04d}.npz", time.perf_counter()
        if place.exists():
            continue
        rows = np.arange(len(table.ends))[number * AGAIN_AT_ONCE :][:AGAIN_AT_ONCE]
        done = oracle.relax(table.ends[rows], THOROUGH)
        usable = [one.crystal if one.usable else None for one in done]
        ends = [table.ends[[row]] if one is None else one
                for row, one in zip(rows.tolist(), usable, strict=True)]  # fmt: skip
        totals = np.array([one.energy if one.usable else np.nan for one in done])
        keep(place, table.ends[rows], Crystals.concat(ends), totals)
        print(f"part {number} of {parts}, {time.perf_counter() - begun:.0f} s", flush=True)


def pack_again(folder: Path, oracle: Oracle) -> RelaxedCandidates:
    """The packed table with what was relaxed again, where that lies lower.

    Formation energies are counted from the elements as they were relaxed again. What swelled
    further on its way stays, as it would in a campaign.
    """
    table = RelaxedCandidates.load()
    before = relax(oracle, reference_crystals(ELEMENTS))[1:]
    after = kept(folder / "elements-again.npz")[1:]
    old_ends, old = table.ends, _counted_from(table.ends, table.energies, before, after)
    starts, ends, totals = zip(*map(kept, sorted(folder.glob("again-*.npz"))), strict=True)
    new_ends = Crystals.concat(list(ends))
    if not np.array_equal(Crystals.concat(list(starts)).lattice, table.ends.lattice):
        sys.exit("What was relaxed again is not what the table holds: was it packed already?")
    new = formation_energies(new_ends.compositions, np.concatenate(totals), after)
    both, count = Crystals.concat([old_ends, new_ends]), len(old)
    lower = np.nan_to_num(new, nan=np.inf) < old
    best = both[np.where(lower, np.arange(count) + count, np.arange(count))]
    known = known_compounds()
    rows = {name: row for row, name in enumerate(known.columns["id"])}
    compounds = known[np.array([rows[name] for name in table.known])]
    told = _counted_from(compounds, table.known_energies, before, after)
    return RelaxedCandidates(table.starts, best, np.where(lower, new, old), table.known, told)


def _counted_from(
    crystals: Crystals, energies: np.ndarray, before: Elements, after: Elements
) -> np.ndarray:
    """Formation energies counted from one set of elements, counted from another."""
    nought = np.zeros(len(crystals))
    shift = formation_energies(crystals.compositions, nought, after)
    shift -= formation_energies(crystals.compositions, nought, before)
    return np.asarray(energies + shift)


def kept(path: Path) -> tuple[Crystals, Crystals, np.ndarray]:
    """Starts, ends and energies of one file."""
    with np.load(path, allow_pickle=False) as found:
        starts, ends = (Crystals.from_bytes(found[name].tobytes()) for name in ("starts", "ends"))
        return starts, ends, found["energies"]


def main() -> None:
    """Relax the elements, then one system after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--systems", type=int, default=150)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1)
    parser.add_argument("--pack", action="store_true", help="join what is there, and end")
    parser.add_argument("--again", action="store_true", help="relax the table's ends thoroughly")
    parser.add_argument("--seldom", action="store_true", help="systems with a seldom element")
    parser.add_argument("--model", default="energy", help="whose lowest candidates are taken")
    parser.add_argument("--lowest", type=int, default=LOWEST, help="of a system, by the model")
    parser.add_argument("--chance", type=int, default=CHANCE, help="of a system, by chance")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.again:
        oracle = oracle_by_name("chgnet")
        if arguments.pack:
            pack_again(arguments.folder, oracle).save()
        else:
            relax_again(arguments.folder, oracle, arguments.first, arguments.step)
        return
    if arguments.pack and arguments.seldom:
        pack_more(arguments.folder).save()
    elif arguments.pack:
        pack(arguments.folder, known_compounds()).save()
    else:
        relax_systems(arguments)


def relax_systems(arguments: argparse.Namespace) -> None:
    """Relax elements and systems, and compute what known compounds have."""
    oracle, model = oracle_by_name("chgnet"), load_model(arguments.model)
    seldom = arguments.seldom
    settings = THOROUGH if seldom else DEFAULT_SETTINGS
    place = arguments.folder / "elements.npz"
    if arguments.first == 0 and not place.exists():
        keep(place, *relaxed_elements(oracle, settings, seldom))
    for number in range(arguments.first, arguments.systems, arguments.step):
        system, begun = system_of(number, seldom), time.perf_counter()
        place = arguments.folder / f"{number:04d}-{'-'.join(system)}.npz"
        if place.exists():
            continue
        chosen = chosen_candidates(system, number, model, arguments.lowest, arguments.chance)
        starts, ends, energies = relax(oracle, chosen, settings)
        keep(place, starts, ends, energies)
        print(
            f"{number}: {'-'.join(system)}, {len(starts)} relaxed, "
            f"{time.perf_counter() - begun:.1f} s",
            flush=True,
        )
    place = arguments.folder / KNOWN_FILE
    if arguments.first == 0 and not place.exists():
        known = seldom_compounds() if seldom else known_compounds()
        keep(place, known, known, energies_of(oracle, known))


if __name__ == "__main__":
    main()
