"""The command line as a user meets it: right calls, wrong calls, and what they leave behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLE = ROOT / "docs" / "examples" / "mg-si-o.csv"
PROGRAM = [sys.executable, "-c", "from materialabs.cli import main; main()"]

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run the command in an empty folder with keys of its own."""

    def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        keys = {"MATERIALABS_KEYS": str(tmp_path / "keys")}
        return subprocess.run(
            [*PROGRAM, *arguments], capture_output=True, text=True, cwd=tmp_path, check=False,
            env=os.environ | keys | environment,
        )  # fmt: skip

    return call


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "keys")


def cif(cell: str = "4 4 4 90 90 90", sites: str = "Na Na 0 0 0 1\nCl Cl 0.5 0.5 0.5 1") -> str:
    lengths = dict(
        zip(("a", "b", "c", "alpha", "beta", "gamma"), cell.split(), strict=True)
    )  # fmt: skip
    lines = ["data_test", "_symmetry_space_group_name_H-M 'P 1'"]
    lines += [f"_cell_length_{name} {lengths[name]}" for name in "abc"]
    lines += [f"_cell_angle_{name} {lengths[name]}" for name in ("alpha", "beta", "gamma")]
    lines += ["loop_", " _atom_site_label", " _atom_site_type_symbol", " _atom_site_fract_x",
              " _atom_site_fract_y", " _atom_site_fract_z", " _atom_site_occupancy"]  # fmt: skip
    return "\n".join([*lines, sites, ""])


BAD_FILES = {
    "empty": "",
    "no volume": cif(cell="4 4 0.00001 90 90 90"),
    "overlapping": cif(sites="Na Na 0 0 0 1\nCl Cl 0.001 0 0 1"),
    "many atoms": cif(
        cell="100 100 100 90 90 90",
        sites="\n".join(f"C{i} C {i % 100 / 100} {i // 100 / 100} 0.5 1" for i in range(10_000)),
    ),
    "not a number": cif(sites="Na Na nan 0 0 1"),
    "unknown element": cif(sites="Xx Xx 0 0 0 1"),
    "garbage": "\x00\x01\x02 no crystal",
}


@pytest.mark.parametrize("text", BAD_FILES.values(), ids=BAD_FILES)
def test_a_bad_file_gives_one_sentence_and_leaves_nothing(
    run: Run, tmp_path: Path, text: str
) -> None:
    (tmp_path / "bad.cif").write_text(text)
    done = run("convert", "bad.cif", "-o", "out.extxyz")
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("materialabs: ")
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert left_behind(tmp_path) == ["bad.cif"]


WRONG_CALLS = [
    ("hull", "nowhere.csv"),
    ("hull", "Li-Xx"),
    ("hull", str(EXAMPLE)),
    ("hull", str(EXAMPLE), "--kind", "formation", "--level", "?"),
    ("hull", str(EXAMPLE), "--kind", "wrong", "--level", "PBE"),
    ("hull", str(EXAMPLE), "--kind", "total", "--level", "PBE"),
    ("generate", "airss", "Li-Xx"),
    ("generate", "airss", "MgO", "--space-group", "231"),
    ("generate", "airss", "MgO", "-n", "0"),
    ("generate", "airss", "MgO", "--usual", "2"),
    ("generate", "airss", "Mg0.5O"),
    ("generate", "formulas", "Li-Xx"),
    ("generate", "formulas", "Li-P-S", "--rule", "magic"),
    ("generate", "saps", "nowhere.cif"),
    ("inspect", "nowhere.cif"),
    ("convert", "nowhere.cif", "-o", "x.cif"),
    ("query", "nsites=1"),
    ("ledger", "verify"),
    ("ingest", "nowhere.csv"),
    ("nonsense",),
    ("hull", "--nonsense"),
]


@pytest.mark.parametrize("call", WRONG_CALLS, ids=lambda call: " ".join(call)[-40:])
def test_a_wrong_call_says_so_and_exits_with_two(
    run: Run, tmp_path: Path, call: tuple[str, ...]
) -> None:
    done = run(*call)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
    assert left_behind(tmp_path) == []


def test_threads_wait_asleep_unless_the_user_says_otherwise() -> None:
    """Busy waiting beside other programs takes several times as long as the work itself."""
    asked = (
        "import atexit, os; atexit.register(lambda: print(os.environ['OMP_WAIT_POLICY'])); "
        "from materialabs.cli import main; main()"
    )
    bare = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    said = [
        subprocess.run(
            [sys.executable, "-c", asked, "--version"], capture_output=True, text=True, check=True,
            env=environment,
        ).stdout.split()[-1]
        for environment in (bare, bare | {"OMP_WAIT_POLICY": "ACTIVE"})
    ]  # fmt: skip
    assert said == ["PASSIVE", "ACTIVE"]


def test_a_wrong_setting_is_named(run: Run) -> None:
    done = run("inspect", "x.cif", MATERIALABS_THREADS="many")
    assert done.returncode == 2
    assert "MATERIALABS_THREADS" in done.stderr


def test_a_hull_as_json_holds_every_phase(run: Run) -> None:
    done = run("hull", str(EXAMPLE), "--kind", "formation", "--level", "experiment", "--json")
    document = json.loads(done.stdout)
    assert document["entries"] == 9
    assert document["stable"] == 8


def test_a_phase_diagram_needs_no_network(run: Run, tmp_path: Path) -> None:
    call = ("--kind", "formation", "--level", "experiment", "--html", "diagram.html")
    assert run("hull", str(EXAMPLE), *call).returncode == 0
    page = (tmp_path / "diagram.html").read_text()
    assert "Mg" in page
    assert not re.search(r"<(script|link|img|iframe)\b[^>]*(src|href)=.?http", page)


def test_partial_occupancy_is_shown_kept_and_refused_by_name(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mixed.cif").write_text(
        cif(sites="Na1 Na 0 0 0 0.5\nK1 K 0 0 0 0.5\nCl Cl 0.5 0.5 0.5 1")
    )
    assert "partial" in run("inspect", "mixed.cif").stdout
    refused = run("convert", "mixed.cif", "-o", "mixed.extxyz")
    assert refused.returncode == 2
    assert "mixed" in refused.stderr or "test" in refused.stderr
    assert run("convert", "mixed.cif", "-o", "kept.cif").returncode == 0
    assert run("convert", "mixed.cif", "--ordered", "-o", "mixed.extxyz").returncode == 0


def test_one_bad_file_does_not_stop_the_rest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "good.cif").write_text(cif())
    (tmp_path / "bad.cif").write_text("nothing")
    done = run("inspect", "*.cif", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 0
    assert document["count"] == 1
    assert document["refused"][0]["file"].endswith("bad.cif")


def test_generating_twice_with_one_seed_gives_the_same(run: Run, tmp_path: Path) -> None:
    for name in ("one.extxyz", "two.extxyz"):
        run("generate", "airss", "NaCl", "-n", "5", "--seed", "3", "-o", name)
    assert (tmp_path / "one.extxyz").read_text() == (tmp_path / "two.extxyz").read_text()


def test_substitution_keeps_its_lineage(run: Run, tmp_path: Path) -> None:
    run("generate", "airss", "CaTiO3", "-n", "1", "--space-group", "221", "--cells", "1",
        "-o", "parent.extxyz")  # fmt: skip
    done = run("generate", "saps", "parent.extxyz", "-n", "5", "--json")
    document = json.loads(done.stdout)
    assert document["count"] == 5
    for candidate in document["candidates"]:
        assert candidate["substitution"]
        assert 0 < candidate["probability"] <= 1


def test_a_store_goes_from_ingest_to_verified_query(run: Run, tmp_path: Path) -> None:
    run("generate", "airss", "NaCl", "-n", "3", "-o", "salt.extxyz")
    first = run("ingest", "salt.extxyz")
    assert first.returncode == 0, first.stderr
    assert "signing key was made" in first.stderr
    assert "3 known already" in run("ingest", "salt.extxyz").stderr
    found = json.loads(run("query", 'elements HAS ALL "Na","Cl"', "--json").stdout)
    assert found["count"] == 3
    assert run("ledger", "verify").returncode == 0


def test_a_changed_store_is_found_out(run: Run, tmp_path: Path) -> None:
    import sqlite3

    run("generate", "airss", "NaCl", "-n", "3", "-o", "salt.extxyz")
    run("ingest", "salt.extxyz")
    with sqlite3.connect(tmp_path / "lab.db") as connection:
        connection.execute("UPDATE structures SET space_group = 1 WHERE id = 2")
    connection.close()
    done = run("ledger", "verify")
    assert done.returncode == 1
    assert "space_group" in done.stdout


def test_doctor_finds_everything_in_order(run: Run) -> None:
    done = run("doctor", "--json")
    findings = json.loads(done.stdout)
    assert done.returncode == 0, done.stdout
    assert {finding["state"] for finding in findings} <= {"works", "absent", "slow"}
    assert {"neighbour lists", "symmetry", "hull"} <= {one["subject"] for one in findings}


def test_control_c_stops_with_a_sentence_and_leaves_no_half_file(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*PROGRAM, "generate", "airss", "MgSiO3", "-n", "2000000", "-o", "many.extxyz"],
        cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.strip().endswith("Nothing half-written was left behind.")
    assert "Traceback" not in errors
    assert left_behind(tmp_path) == []


LOST_INTERRUPT = """
import time
from materialabs import cli

class Deaf:
    def __del__(self):
        raise KeyboardInterrupt

def work(**_):
    Deaf()
    time.sleep(60)

import materialabs.cli.app
materialabs.cli.app.app = work
cli.main()
"""


def test_control_c_that_compiled_code_drops_is_heard_all_the_same() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOST_INTERRUPT], capture_output=True, text=True, timeout=50
    )
    assert done.returncode == 130
    assert done.stderr == "materialabs: Stopped. Nothing half-written was left behind.\n"


def test_names_with_brackets_are_printed_as_they_are(run: Run, tmp_path: Path) -> None:
    rows = 'formula,energy_per_atom,id\nMgO,-3.0,"[/b]a [red] :smile:"\n'
    (tmp_path / "a.csv").write_text(rows)
    done = run("hull", "a.csv", "--kind", "formation", "--level", "PBE")
    assert done.returncode == 0, done.stderr
    assert "[/b]a [red] :smile:" in done.stdout


def test_what_reading_changed_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif(sites="D D 0 0 0 1\nCl Cl 0.5 0.5 0.5 1"))
    assert "D is kept as H" in run("convert", "a.cif", "-o", "b.cif").stderr
    shown = json.loads(run("inspect", "--json", "a.cif").stdout)
    assert shown["notes"] == [{"note": "D is kept as H", "crystals": 1, "first": "a.cif"}]


def test_inspect_names_the_prototype_of_caesium_chloride(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(cif())
    (tmp_path / "b.cif").write_text(cif(sites="Na Na 0 0 0 0.5\nCl Cl 0.5 0.5 0.5 1"))
    shown = json.loads(run("inspect", "--json", "a.cif", "b.cif").stdout)["crystals"]
    assert [one["prototype"] for one in shown] == ["AB_cP2_221_a_b", "-"]


def test_a_wrong_output_is_refused_before_the_work(run: Run) -> None:
    done = run("generate", "airss", "NaCl", "-n", "2", "-o", "missing/x.cif")
    assert (done.returncode, done.stdout) == (1, "")
    done = run("generate", "airss", "NaCl", "-n", "2", "-o", "x.unknown")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
