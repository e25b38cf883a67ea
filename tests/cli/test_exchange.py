"""``materialabs export`` and ``import`` do what their options say."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from tests.store.fake_provider import FakeProvider, resource, serving
from tests.store.made_crystals import made_crystals, made_properties
from typer.testing import CliRunner

from materialabs.cli import exchange, store
from materialabs.cli.inputs import settings
from materialabs.store.store import Store

app = typer.Typer()
app.command("ingest")(store.ingest)
app.command("export")(exchange.export)
app.command("import")(exchange.import_)
RUN = CliRunner()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("MATERIALABS_KEYS", str(tmp_path / "keys"))
    settings.cache_clear()
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        store.add(made_crystals(5), made_properties(5))
    yield tmp_path / "lab.db"
    settings.cache_clear()


def test_an_export_says_what_it_wrote(place: Path, tmp_path: Path) -> None:
    done = RUN.invoke(
        app, ["export", str(tmp_path / "a.csv"), "nelements>0", "--store", str(place)]
    )
    assert done.exit_code == 0
    assert "5 structures and 5 records written" in done.stderr
    done = RUN.invoke(app, ["export", str(tmp_path / "b.jsonl"), "--store", str(place), "--json"])
    assert json.loads(done.stdout)["records"] == 5


def test_a_licence_goes_from_the_command_line_into_what_is_exported(
    place: Path, tmp_path: Path
) -> None:
    (tmp_path / "gaps.csv").write_text("formula,gap\nNaCl,8.5\n")
    done = RUN.invoke(
        app,
        ["ingest", str(tmp_path / "gaps.csv"), "--method", "experiment", "--column",
         "gap=band_gap:eV", "--licence", "CC0-1.0", "--store", str(place)],
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    RUN.invoke(app, ["export", str(tmp_path / "all.csv"), "--store", str(place)])
    rows = list(csv.DictReader((tmp_path / "all.csv").read_text().splitlines()))
    assert {row["licence"] for row in rows if row["formula"] == "NaCl"} == {"CC0-1.0"}
    assert {row["licence"] for row in rows if row["structure"]} == {""}


def test_an_ingest_tells_programs_what_it_left_out(place: Path, tmp_path: Path) -> None:
    (tmp_path / "gaps.csv").write_text("formula,gap,mystery\nGaN,3.4,7.5\nZnO,3.3,8.5\n")
    done = RUN.invoke(
        app,
        ["ingest", str(tmp_path / "gaps.csv"), "--method", "experiment", "--column",
         "gap=band_gap:eV", "--store", str(place), "--json"],
    )  # fmt: skip
    assert "mystery" in json.loads(done.stdout)["left_out"]


def test_an_import_says_what_it_stored_and_left_out(place: Path) -> None:
    fields = {"_x_heat": {"type": "float", "unit": "eV"}}
    bad = resource("bad", ["Xx"])
    with serving(FakeProvider([resource("one", ["Na", "Cl"], _x_heat=2.0), bad], fields)) as fake:
        done = RUN.invoke(app, ["import", fake.url, "--store", str(place)])
        assert done.exit_code == 0
        assert "1 records and 1 crystals stored" in done.stderr
        assert "Licence: not stated" in done.stderr
        assert "_x_heat was left out" in done.stderr
        assert "bad" in done.stdout
        again = RUN.invoke(
            app, ["import", fake.url, "--store", str(place), "--json", "--method", "dft",
                  "--level", "PBE"]
        )  # fmt: skip
    assert json.loads(again.stdout)["written"]["records"] == 1
