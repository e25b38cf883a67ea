"""The verbs: what they print, and one sentence for a wrong call."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from materialabs.cli import campaign as campaign_verbs
from materialabs.cli import discover as discover_verb
from materialabs.cli import worker as worker_verb
from materialabs.errors import FileError, InputError, MaterialabsError
from materialabs.store.schema import metadata  # noqa: F401 - the tables are known to SQLAlchemy
from materialabs.store.store import Store

runner = CliRunner()


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("discover")(discover_verb.discover)
    made.add_typer(campaign_verbs.app, name="campaign")
    made.command("worker")(worker_verb.worker)
    return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from materialabs.cli.inputs import settings

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATERIALABS_KEYS", str(tmp_path / "keys"))
    settings.cache_clear()
    yield tmp_path
    settings.cache_clear()


SMALL = ("--budget", "6", "--oracle", "emt", "--model", "campaign", "--max-atoms", "4")


def test_a_campaign_from_the_command_line(app: typer.Typer, here: Path) -> None:
    done = runner.invoke(app, ["discover", "Cu-Au", *SMALL, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["calls"] == 6
    assert (here / "Cu-Au.html").exists()
    again = json.loads(runner.invoke(app, ["discover", "Cu-Au", *SMALL, "--json"]).stdout)
    assert again["task_keys"] == told["task_keys"]
    listed = json.loads(runner.invoke(app, ["campaign", "list", "--json"]).stdout)
    assert [one["id"] for one in listed] == [told["id"]]
    shown = runner.invoke(app, ["campaign", "show", told["id"][:5]])
    assert "r0-00" in shown.stdout
    for name in ("all.json", "all.extxyz"):
        done = runner.invoke(app, ["campaign", "export", told["id"], "-o", name])
        assert done.exit_code == 0, done.output
    assert json.loads((here / "all.json").read_text())["id"] == told["id"]
    assert "hull_distance" in (here / "all.extxyz").read_text()
    assert runner.invoke(app, ["campaign", "resume", told["id"]]).exit_code == 0
    assert runner.invoke(app, ["campaign", "report", told["id"], "-o", "r.html"]).exit_code == 0
    assert (here / "r.html").exists()


def test_a_campaign_of_another_version_hides_no_other(app: typer.Typer, here: Path) -> None:
    done = runner.invoke(app, ["discover", "Cu-Au", *SMALL, "--json"])
    name = json.loads(done.stdout)["id"]
    with closing(sqlite3.connect(here / "lab.db")) as store, store:
        (text,) = store.execute("SELECT request FROM campaigns").fetchone()
        for number, (old, new) in enumerate([("strategy", "gone"), ("batch", -1), ("seed", None)]):
            document = json.loads(text)
            if new is None:
                del document["request"][old]
            else:
                document["request"][old] = new
            store.execute(
                "INSERT INTO campaigns SELECT ?, identity, ?, ?, state, reason, calls, seconds, "
                "spent_seconds, known_until, leader, leader_until, created FROM campaigns "
                "WHERE id = ?",
                (f"other{number}", 7 + number, json.dumps(document), name),
            )
    listed = runner.invoke(app, ["campaign", "list", "--json"])
    assert [one["id"] for one in json.loads(listed.stdout)] == [name]
    assert listed.stderr.count("another version of materialabs") == 3
    assert runner.invoke(app, ["campaign", "show", name]).exit_code == 0
    shown = runner.invoke(app, ["campaign", "show", "other0"])
    assert isinstance(shown.exception, InputError) and "'gone'" in str(shown.exception)


def test_verification_is_printed_and_reported(app: typer.Typer, here: Path) -> None:
    second = "python:tests.discovery.logged_emt:second_emt"
    words = ["discover", "Cu-Au", *SMALL, "--verify", second, "--top", "1"]
    done = runner.invoke(app, words)
    assert done.exit_code == 0, done.output
    assert re.search(r"To verify by python:.*: \w+ \(\d+ atoms\), with the elements", done.stderr)
    assert "Decomposition energies" in done.stdout
    assert "raw difference between levels" in (here / "Cu-Au.html").read_text()
    told = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    assert len(told["verification"]) == 1
    text = runner.invoke(app, ["worker", "--wait", "0"])
    assert isinstance(text.exception, MaterialabsError)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["discover", "Cu-Xx"], "Xx"),
        (["discover", "Cu"], "one element"),
        (["discover", "H-Li-Be-B-C-N-O-F-Na"], "9 elements"),
        (["discover", "Cu-Au", "--budget", "-4"], "above zero"),
        (["discover", "Cu-Au", "--budget", "1"], "at least 3"),
        (["discover", "Cu-Au", "--budget", "soon"], "30m"),
        (["discover", "Cu-Au", "--oracle", "nonsense"], "nonsense"),
        (["discover", "Cu-Au", "--oracle", "python:nowhere:none"], "nowhere"),
        (["discover", "Cu-Au", "--strategy", "lucky", "--oracle", "emt"], "lucky"),
        (["discover", "Cu-Au", "--objective", "gap"], "min:NAME"),
        (["discover", "Cu-Au", "--oracle", "emt", "--model", "nosuch"], "nosuch"),
        (["discover", "Cu-Au", "--oracle", "emt", "--model", "gap"], "by energies"),
        (["discover", "Cu-Au", "--oracle", "emt", "--processes", "0"], "not 0"),
        (["discover", "Tc-O", "--oracle", "gpaw"], "Tc"),
        (["discover", "Cu-Au", "--oracle", "emt", "--verify", "nonsense"], "nonsense"),
        (["discover", "Cu-Au", "--pressure", "-1e9"], "between -100 and 1000 GPa"),
        (["discover", "Cu-Au", "--space-group", "225", "--not-space-group", "225"], "225 is both"),
        (["campaign", "show", "nothing"], "no store"),
        (["campaign", "resume", "nothing"], "no store"),
        (["worker"], "no store"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    app: typer.Typer, here: Path, words: list[str], said: str
) -> None:
    # Never imported here: under pytest GPAW replaces np.empty, which numba then does not know.
    if "gpaw" in words and importlib.util.find_spec("gpaw") is None:
        pytest.skip("no GPAW here: pip install materialabs[dft]")
    done = runner.invoke(app, words)
    assert isinstance(done.exception, MaterialabsError), done.output
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not list(here.glob("*.html"))


@pytest.mark.parametrize(
    "words", [["--oracle", "nonsense"], ["--verify", "nonsense"], ["--strategy", "lucky"],
              ["--budget", "1"], ["--batch", "0"], ["--objective", "gap"]],
)  # fmt: skip
def test_a_wrong_call_makes_no_store(app: typer.Typer, here: Path, words: list[str]) -> None:
    done = runner.invoke(app, ["discover", "Cu-Au", *words])
    assert isinstance(done.exception, MaterialabsError), done.output
    assert not list(here.iterdir())


PARTLY_FILLED = """data_partly
_cell_length_a 3.9
_cell_length_b 3.9
_cell_length_c 3.9
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Cu1 Cu 0 0 0 0.5
Au1 Au 0 0 0 0.5
"""


@pytest.mark.parametrize(
    ("text", "said"),
    [("no crystal", "Nothing could be read"), (PARTLY_FILLED, "no crystal whose sites are all"),
     (None, "There is no file")],
)  # fmt: skip
def test_a_list_that_cannot_be_compared_with_is_refused_before_a_store_is_made(
    app: typer.Typer, here: Path, text: str | None, said: str
) -> None:
    if text is not None:
        (here / "list.cif").write_text(text)
    done = runner.invoke(app, ["discover", "Cu-Au", *SMALL, "--known", "list.cif"])
    assert isinstance(done.exception, FileError), done.output
    assert said in str(done.exception) and "list.cif" in str(done.exception)
    assert {path.name for path in here.iterdir()} <= {"list.cif"}


def test_a_campaign_without_a_hull_ends_as_failed_with_its_report(
    app: typer.Typer, here: Path
) -> None:
    words = ["discover", "Mg-O", *SMALL, "--verify", "python:tests.discovery.logged_emt:second_emt"]
    done = runner.invoke(app, words)
    assert done.exit_code == 1, done.output
    assert "The campaign stopped: without an energy of Mg" in done.stderr
    assert (here / "Mg-O.html").exists()
    listed = json.loads(runner.invoke(app, ["campaign", "list", "--json"]).stdout)
    assert runner.invoke(app, ["campaign", "resume", listed[0]["id"], "--json"]).exit_code == 1


def test_an_unknown_campaign_makes_neither_store_nor_key(app: typer.Typer, here: Path) -> None:
    done = runner.invoke(app, ["campaign", "resume", "0123456789", "--store", "typo.db"])
    assert "no store at typo.db" in str(done.exception)
    assert not list(here.iterdir())


def test_a_store_without_campaigns_says_so(app: typer.Typer, here: Path) -> None:
    with Store(here / "lab.db", keys=here / "keys"):
        pass
    done = runner.invoke(app, ["campaign", "list"])
    assert done.exit_code == 0
    assert "no campaign in lab.db" in done.stderr
    assert json.loads(runner.invoke(app, ["campaign", "list", "--json"]).stdout) == []


def test_a_store_at_another_level_is_named_with_both(app: typer.Typer, here: Path) -> None:
    assert runner.invoke(app, ["discover", "Cu-Au", *SMALL]).exit_code == 0
    second = "python:tests.discovery.logged_emt:second_emt"
    words = ["discover", "Cu-Au", "--budget", "6", "--oracle", second]
    done = runner.invoke(app, words)
    assert isinstance(done.exception, MaterialabsError)
    assert "--parents-only" in str(done.exception)
    assert str(done.exception).count("emt 3") == 2


def test_wrong_calls_end_with_two() -> None:
    code = (
        "from materialabs.cli import app as place, discover\n"
        "place.app.command('discover')(discover.discover)\n"
        "from materialabs.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "discover", "Cu"], capture_output=True, text=True, check=False,
        env=os.environ,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_missing_dft_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from materialabs.discovery import oracle_choice
    from materialabs.errors import InputError

    find = importlib.util.find_spec  # others look for modules too: hide this one alone

    def hiding(name: str, *more: str) -> object:
        return None if name == "gpaw" else find(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", hiding)
    with pytest.raises(InputError, match=r"materialabs\[dft\]"):
        oracle_choice.open_oracle("gpaw", "Mg-Si")


def test_the_live_view_draws_each_round() -> None:
    from materialabs.discovery.watching import Terminal

    with Terminal("Cu-Au", 10) as view:
        view.planning(1)
        view.planned(1, {}, 2)
        view.relaxed("CuAu", {"status": "converged", "energy": -1.0})
        view.relaxed("CuAu", {"status": "failed", "energy": None})
        view.closed(1, {"relaxed": 2, "failed": 1, "stable": 1, "found": 1,
                        "new_stable": ["CuAu"]})  # fmt: skip
        assert view.spent == 2
        assert "CuAu" in view.last
