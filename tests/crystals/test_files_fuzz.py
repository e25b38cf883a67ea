"""Damaged files end in a sentence, never in a traceback, a hang or a flood of memory."""

from __future__ import annotations

import gzip
import json
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import Limits, ReadReport, read, write
from materialabs.errors import FileError

KINDS = {
    "cif": "x.cif",
    "poscar": "POSCAR",
    "extxyz": "x.extxyz",
    "json": "x.json",
    "list": "list.json",
    "rows": "x.jsonl",
    "optimade": "x.optimade.json",
    "table": "x.csv",
    "ase-db": "x.db",
    "ase-json": "ase.json",
    "traj": "x.traj",
    "vasprun": "vasprun.xml",
    "packed": "x.jsonl.gz",
}

VASPRUN = """<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling><generator><i name="version" type="string">6.3.0</i></generator>
<incar><i type="int" name="NSW"> 3 </i><v name="LDAUU"> 4 0 </v></incar>
<parameters><i type="logical" name="LDAU"> T </i><i type="int" name="NELM"> 60 </i></parameters>
<atominfo><array name="atoms"><set><rc><c>Na</c><c>1</c></rc><rc><c>Cl</c><c>2</c></rc></set>
</array><array name="atomtypes"><set><rc><c>1</c><c>Na</c><c>23</c><c>1</c><c>PAW_PBE Na</c></rc>
<rc><c>1</c><c>Cl</c><c>35</c><c>7</c><c>PAW_PBE Cl</c></rc></set></array></atominfo>
<calculation>
<scstep><energy><i name="e_fr_energy">-6</i><i name="e_0_energy">-6.1</i></energy>
</scstep><structure><crystal><varray name="basis"><v>5 0 0</v>
<v>0 5 0</v><v>0 0 5</v></varray></crystal>
<varray name="positions"><v>0 0 0</v><v>.5 .5 .5</v></varray></structure>
<varray name="forces"><v>0 0 1</v><v>0 0 -1</v></varray>
<varray name="stress"><v>1 0 0</v><v>0 1 0</v><v>0 0 1</v></varray>
<energy><i name="e_fr_energy">-6</i></energy></calculation></modeling>
"""


def sample() -> Crystals:
    crystals = Crystals.from_arrays(
        [np.eye(3) * 5, [[4, 0, 0], [1, 5, 0], [0.5, 0.2, 6]]],
        [[[0, 0, 0], [0.5, 0.5, 0.5]], [[0.1, 0.2, 0.3]]],
        [[11, 17], [26]],
        columns={"id": ["one", "two"], "energy": [-1.0, -2.0], "band_gap": [1.0, np.nan],
                 "note": ["text", {"a": [1, 2]}]},
    )  # fmt: skip
    return crystals.with_site_columns(
        oxidation_state=[1.0, -1.0, 3.0],
        force=np.ones((3, 3)),
        fixed=np.array([[True] * 3, [False] * 3, [True, False, True]]),
        label=["A1", "B1", "C1"],
    )


@lru_cache
def valid(kind: str) -> bytes:
    if kind == "vasprun":
        return VASPRUN.encode()
    with tempfile.TemporaryDirectory() as folder:
        crystals = sample()
        if kind in ("poscar", "json"):
            crystals = crystals[:1]
        path = Path(folder) / KINDS[kind]
        write(crystals, path, format="ase-json" if kind == "ase-json" else None)
        return path.read_bytes()


def attempt(data: bytes, kind: str) -> None:
    """Read; only the promised outcomes may happen."""
    report = ReadReport()
    limits = Limits(file_bytes=1 << 22, entry_bytes=1 << 20, unpacked_bytes=1 << 24, sites=200)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / KINDS[kind]
        path.write_bytes(data)
        try:
            crystals = read(path, report=report, limits=limits)
        except FileError as error:
            assert str(error)
        else:
            assert len(crystals) == report.read > 0
        for entry in report.entries:
            assert entry.reason
            assert "\n" not in entry.reason
            assert "unforeseen" not in entry.reason, entry.reason


@dataclass(frozen=True)
class Damage:
    """A place of a file, as a share of its length, that is cut, doubled or filled in."""

    place: float
    length: int
    filling: bytes
    doubled: bool

    def done_to(self, data: bytes) -> bytes:
        start = int(self.place * len(data))
        part = data[start : start + self.length]
        return (
            data[:start] + (part * 2 if self.doubled else self.filling) + data[start + len(part) :]
        )


PIECES = [
    b"nan", b"-1", b"1e999", b"999999999999999999999", b"0", b"null", b"[]", b"{}", b'"', b"'",
    b"\n", b";", b"loop_", b"_atom_site_fract_x", b"data_", b"\x00", b"\xff\xfe", b"NaN",
    b"Infinity", b"true", b"Xx", b"[[1,2],[3]]", b"(", b"x,y,z", b"</", b"<!DOCTYPE a>", b"\\",
    b"=", b"T", b":", b"\xc3\xa9", b"1_0", b"0x10", b"\xd9\xa3",
]  # fmt: skip


DAMAGES = st.lists(
    st.builds(
        Damage,
        st.floats(0, 1),
        st.integers(0, 40),
        st.one_of(st.binary(max_size=12), st.sampled_from(PIECES), st.just(b"")),
        st.booleans(),
    ),
    min_size=1,
    max_size=5,
)


def attempt_damaged(kind: str, damages: list[Damage]) -> None:
    data = valid(kind)
    for damage in damages:
        data = damage.done_to(data)
    attempt(data, kind)


@settings(max_examples=300)
@given(st.sampled_from(sorted(KINDS)), DAMAGES)
def test_a_damaged_file_is_read_or_refused_in_words(kind: str, damages: list[Damage]) -> None:
    attempt_damaged(kind, damages)


@pytest.mark.slow
@settings(max_examples=5000)
@given(st.sampled_from(sorted(KINDS)), DAMAGES)
def test_many_damaged_files_are_read_or_refused_in_words(kind: str, damages: list[Damage]) -> None:
    attempt_damaged(kind, damages)


@settings(max_examples=150)
@given(st.sampled_from(sorted(KINDS)), st.binary(max_size=200))
@example("cif", b"data_\nloop_\n")
@example("table", b"cif\n\x00")
@example("extxyz", b"1\nLattice=\nH 0 0 0")
@example("ase-db", b"\xb9")
@example("extxyz", "\xb9\nLattice=\nH 0 0 0".encode())
@example("poscar", "x\n1\n1 0 0\n0 1 0\n0 0 1\nH\n\xb9\nDirect\n0 0 0".encode())
@example("vasprun", b'<?xml version="1.0" encoding="IS-8859-1"?><modeling/>')
def test_noise_is_refused_in_words(kind: str, data: bytes) -> None:
    attempt(data, kind)


def test_what_a_library_says_on_several_lines_is_told_on_one(tmp_path: Path) -> None:
    path = tmp_path / "torn.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE systems (id INTEGER)")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_master SET name='two\nlines', sql='torn'")
        connection.commit()
    attempt(path.read_bytes(), "ase-db")


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=5),
        st.sampled_from(["Na", "Fe", "structures", "Structure"]),
        st.lists(st.floats(-5, 5), min_size=3, max_size=3),
        st.just([[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["lattice", "matrix", "sites", "species", "frac", "cart", "cell", "numbers",
                 "positions", "structure", "data", "attributes", "species_at_sites", "columns",
                 "index", "ids", "nextid", "1", "energy", "composition", "correction", "abc",
                 "element", "occu", "cif", "@class", "pbc", "occupancy", "__ndarray__", "id",
                 "unique_id", "key_value_pairs", "coords", "cartesian", "properties", "type",
                 "lattice_vectors", "cartesian_site_positions", "concentration", "name",
                 "chemical_symbols", "constraints", "stress", "charge", "parameters"]
            ),
            inner,
            max_size=6,
        ),
    ),
    max_leaves=25,
)  # fmt: skip


@settings(max_examples=400)
@given(JSON_VALUES)
@example({"ids": {"__ndarray__": None}, "nextid": None})
@example({"ids": {"__ndarray__": [[2], "float64", [1]]}, "nextid": 2})
@example({"ids": {"__ndarray__": [[1], "x", [1]]}, "nextid": 2})
@example({"ids": {"__ndarray__": [[float("inf")], "int64", [1]]}, "nextid": 2})
def test_any_json_is_read_or_refused_in_words(document: object) -> None:
    attempt(json.dumps(document).encode(), "json")


@pytest.mark.slow
@settings(max_examples=5000)
@given(JSON_VALUES)
def test_much_json_is_read_or_refused_in_words(document: object) -> None:
    attempt(json.dumps(document).encode(), "json")


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b'{"a": "' + b"x" * 40_000_000))
    with pytest.raises(FileError, match="larger than 1,000,000 bytes"):
        read(path, limits=Limits(file_bytes=1_000_000, entry_bytes=1_000_000))


@pytest.mark.parametrize(
    "text",
    [
        "data_x\n" + "'a " * 200_000,
        "data_x\n" + ";\n" * 100_001,
        "data_x\n" + "loop_ " * 200_000,
        "data_x\n_a " + "(" * 500_000,
        "data_x\n_symmetry_equiv_pos_as_xyz '" + "+" * 4000 + "'\n_atom_site_fract_x 0",
    ],
)
def test_texts_made_to_take_for_ever_do_not(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.cif"
    path.write_text(text)
    with pytest.raises(FileError):
        read(path)
