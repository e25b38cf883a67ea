"""Nothing is lost on the way through a file, of what its kind can hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.columns import Columns, is_missing
from materialabs.crystals.files import ReadReport, read, write
from materialabs.crystals.files.cells import parameters_of
from materialabs.crystals.files.entries import Entry, assemble
from materialabs.crystals.files.limits import Limits


@dataclass(frozen=True)
class Kind:
    """What a file kind holds."""

    file: str
    format: str | None = None
    lattice: bool = True
    pbc: bool = True
    partial: bool = False
    columns: frozenset[str] = field(default_factory=frozenset)
    sites: frozenset[str] = field(default_factory=frozenset)


EVERY_COLUMN = frozenset(
    {
        "energy", "formation_energy", "correction", "stress", "magnetization", "charge",
        "band_gap", "parent", "note", "rank", "vector", "table", "odd", "key",
    }
)  # fmt: skip
EVERY_SITE = frozenset(
    {
        "magnetic_moment", "oxidation_state", "force", "label", "fixed", "charge", "velocity",
        "rank", "flag",
    }
)  # fmt: skip

KINDS = {
    "cif": Kind(
        "all.cif",
        lattice=False,
        pbc=False,
        partial=True,
        sites=frozenset({"oxidation_state", "label"}),
    ),
    "cif folder": Kind(
        "folder/", "cif", False, False, True, sites=frozenset({"oxidation_state", "label"})
    ),
    "poscar": Kind("folder/", "poscar", pbc=False, sites=frozenset({"fixed", "velocity"})),
    "extxyz": Kind("all.extxyz", columns=EVERY_COLUMN, sites=EVERY_SITE),
    "pymatgen": Kind("all.json", partial=True, columns=EVERY_COLUMN, sites=EVERY_SITE),
    "rows": Kind("all.jsonl.gz", partial=True, columns=EVERY_COLUMN, sites=EVERY_SITE),
    "optimade": Kind("all.optimade.json", partial=True, columns=EVERY_COLUMN, sites=EVERY_SITE),
    "optimade lines": Kind(
        "all.optimade.jsonl.xz", partial=True, columns=EVERY_COLUMN, sites=EVERY_SITE
    ),
    "table": Kind(
        "all.csv.bz2",
        lattice=False,
        pbc=False,
        partial=True,
        columns=frozenset({"energy", "formation_energy", "band_gap", "rank", "parent"}),
        sites=frozenset({"oxidation_state", "label"}),
    ),
    "ase database": Kind("all.db", columns=EVERY_COLUMN, sites=EVERY_SITE),
    "ase json": Kind("ase.json", "ase-json", columns=EVERY_COLUMN, sites=EVERY_SITE),
    "trajectory": Kind("all.traj", columns=EVERY_COLUMN, sites=EVERY_SITE),
}


def random_entry(rng: np.random.Generator, index: int, partial: bool) -> Entry:
    """A crystal with a skewed cell, and every column that it may have or lack."""
    count = int(rng.integers(1, 9))
    lattice = np.diag(rng.uniform(6.0, 12.0, 3)) + rng.uniform(-2.5, 2.5, (3, 3))
    corners = rng.permutation(np.array(list(np.ndindex(2, 2, 2))))[:count] / 2
    frac = corners + rng.uniform(-0.04, 0.04, (count, 3)) + rng.integers(-1, 2, (count, 3))
    numbers = rng.integers(1, 95, count)
    shares = None
    if partial and rng.random() < 0.5:
        shares = []
        for number in numbers.tolist():
            other = number % 94 + 1
            first = float(rng.uniform(0.3, 0.7))
            options = [{number: 1.0}, {number: first, other: 1 - first}, {number: first}]
            shares.append(options[int(rng.integers(3))])
        numbers = np.array([max(site, key=lambda n: (site[n], -n)) for site in shares])
    stress = rng.normal(size=(3, 3))
    columns = {
        "id": f"crystal {index}/{rng.integers(99)}",
        "energy": float(rng.normal()),
        "formation_energy": float(rng.normal()),
        "correction": float(rng.normal()),
        "stress": stress + stress.T,
        "magnetization": float(rng.normal()),
        "charge": float(rng.integers(-2, 3)),
        "band_gap": float(rng.random()),
        "parent": f"mp-{rng.integers(999)}",
        "note": str(rng.choice(['it\'s "x" = {y}', "T", "1e3", "null", "[1 2]", "naïve λ", "a"])),
        "rank": int(rng.integers(-5, 5)),
        "vector": rng.normal(size=4).tolist(),
        "table": {"a": [1, 2.5, None], "b": {"c": "d"}},
        "odd": bool(rng.random() < 0.5),
        "key": "12345",
    }
    sites = {
        "magnetic_moment": rng.normal(size=count),
        "oxidation_state": rng.integers(-3, 6, count).astype(float),
        "force": rng.normal(size=(count, 3)),
        "label": [f"L{site}" for site in range(count)],
        "fixed": rng.random((count, 3)) < 0.5,
        "charge": rng.normal(size=count),
        "velocity": rng.normal(size=(count, 3)),
        "rank": rng.integers(0, 9, count),
        "flag": rng.random(count) < 0.5,
    }
    drop = {name for name in columns if name != "id" and rng.random() < 0.3}
    drop_sites = {name for name in sites if rng.random() < 0.4}
    if shares is not None:
        drop_sites.add("oxidation_state")
    return Entry(
        lattice,
        frac,
        numbers.tolist(),
        tuple(rng.random(3) < 0.8),
        columns={name: value for name, value in columns.items() if name not in drop},
        site_columns={n: v for n, v in sites.items() if n not in drop_sites},
        shares=shares,
    )


def random_batch(seed: int, count: int, *, partial: bool) -> Crystals:
    rng = np.random.default_rng(seed)
    entries = [random_entry(rng, index, partial) for index in range(count)]
    crystals, _, refused = assemble(entries, Limits())
    assert not refused
    return crystals


def assert_same_values(ours: Columns, theirs: Columns, names: frozenset[str]) -> None:
    for name in names & set(ours):
        given = ours[name]
        missing = is_missing(given)
        if missing.all():
            continue
        assert name in theirs, name
        back = theirs[name]
        assert np.array_equal(is_missing(back) & ~missing, np.zeros(len(back), bool)), name
        for one, other, gone in zip(given.tolist(), back.tolist(), missing, strict=True):
            if gone:
                continue
            if isinstance(one, (float, list)) and name != "table":
                np.testing.assert_allclose(
                    np.array(other, float), np.array(one, float), rtol=1e-13, err_msg=name
                )
            else:
                assert other == one, name


def assert_same_crystals(before: Crystals, after: Crystals, kind: Kind) -> None:
    assert np.array_equal(before.offsets, after.offsets)
    assert np.array_equal(before.numbers, after.numbers)
    if kind.lattice:
        np.testing.assert_allclose(after.lattice, before.lattice, rtol=0, atol=1e-12)
        np.testing.assert_allclose(after.frac, before.frac, rtol=0, atol=1e-12)
    else:
        flip = np.sign(np.linalg.det(before.lattice))[before.owners]
        np.testing.assert_allclose(after.frac, before.frac * flip[:, None], rtol=0, atol=1e-12)
        for one, other in zip(before.lattice, after.lattice, strict=True):
            np.testing.assert_allclose(parameters_of(other), parameters_of(one), rtol=1e-12)
    if kind.pbc:
        assert np.array_equal(before.pbc, after.pbc)
    if kind.partial:
        assert np.array_equal(before.disordered(), after.disordered())
        if before.occupancy is not None and after.occupancy is not None:
            ours, theirs = before.occupancy, after.occupancy
            assert np.array_equal(ours.offsets, theirs.offsets)
            order = np.lexsort(
                (ours.occupants, np.repeat(np.arange(len(ours)), np.diff(ours.offsets)))
            )
            again = np.lexsort(
                (theirs.occupants, np.repeat(np.arange(len(theirs)), np.diff(theirs.offsets)))
            )
            assert np.array_equal(ours.occupants[order], theirs.occupants[again])
            np.testing.assert_allclose(theirs.fractions[again], ours.fractions[order], rtol=1e-14)
    assert before.ids() == after.ids()
    assert_same_values(before.columns, after.columns, kind.columns)
    assert_same_values(before.site_columns, after.site_columns, kind.sites)


def round_trip(folder: Path, kind: Kind, seed: int, count: int) -> None:
    before = random_batch(seed, count, partial=kind.partial)
    if kind.file.endswith("/"):
        # names of files are made from the ids, and a folder is read in their order
        names = [f"crystal-{index:06d}" for index in range(count)]
        before = before.with_columns(id=names)
    report = ReadReport()
    write(before, f"{folder}/{kind.file}", format=kind.format)
    after = read(f"{folder}/{kind.file}", report=report)
    assert not report.entries, report.table()
    assert_same_crystals(before, after, kind)


@pytest.mark.parametrize("name", KINDS)
def test_a_file_gives_back_what_it_can_hold(tmp_path: Path, name: str) -> None:
    round_trip(tmp_path, KINDS[name], seed=1, count=50)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_500_crystals_pass_through_each_kind(tmp_path: Path, name: str) -> None:
    round_trip(tmp_path, KINDS[name], seed=2, count=500)


@pytest.mark.full
@pytest.mark.parametrize("name", KINDS)
def test_10000_crystals_pass_through_each_kind(tmp_path: Path, name: str) -> None:
    round_trip(tmp_path, KINDS[name], seed=3, count=10_000)
