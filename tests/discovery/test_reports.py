"""The report: one file, readable, nothing fetched; and the folders beside it."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from materialabs.crystals.files import read
from materialabs.crystals.prototypes import fill
from materialabs.discovery import Campaign
from materialabs.discovery.costs import cost_rows
from materialabs.discovery.novelty import KnownList, compare, known_lists, relatives
from materialabs.generation.matching import match

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def report(finished: Campaign, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished.report(tmp_path_factory.mktemp("report") / "Cu-Au.html")


def test_the_report_is_one_file_that_fetches_nothing(report: Path) -> None:
    text = report.read_text()
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    assert not re.search(r"""(src|href)=["'](https?:)?//""", own)
    assert "default-src 'none'" in own


def test_the_report_names_what_was_found_given_and_compared(
    report: Path, finished: Campaign
) -> None:
    text = report.read_text()
    for words in ("Phase diagram", "What was given", "What it cost", "Doing it again",
                  "the prototype library", finished.id, "materialabs ledger verify"):  # fmt: skip
        assert words in text
    for one in finished.findings.listed:
        assert f">{one.name}<" in text


def test_names_in_a_report_are_escaped(finished: Campaign, tmp_path: Path) -> None:
    from materialabs.discovery.report_markup import element, formula

    assert "<script>" not in element("p", "<script>alert(1)</script>")
    assert "<b>" not in formula("<b>Cu3Au")
    assert formula("Cu3Au") == "Cu<sub>3</sub>Au"
    assert formula("Cu3Au → 2 Cu + CuAu") == "Cu<sub>3</sub>Au → 2 Cu + CuAu"


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.slow
def test_a_browser_without_a_network_draws_everything(report: Path, tmp_path: Path) -> None:
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--timeout=30000",
         "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={tmp_path}",
         "--enable-logging=stderr", "--v=0", "--dump-dom", report.as_uri()],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    page = done.stdout
    assert "CONSOLE" not in done.stderr or "Error" not in done.stderr.split("CONSOLE", 1)[1]
    figures = page.count('class="plotly-graph-div js-plotly-plot"')
    drawn = page.count('class="main-svg"')
    assert figures >= 3
    assert drawn >= figures
    canvases = re.findall(r'<canvas class="crystal"[^>]*>', page)
    assert canvases
    assert all(" height=" in one for one in canvases)  # the script has sized, and so drawn, each


def test_each_stable_compound_has_a_folder(report: Path, finished: Campaign) -> None:
    for one in finished.findings.stable:
        folder = report.with_suffix("") / f"{one.formula}-{one.name}"
        names = {path.name for path in folder.iterdir()}
        assert names == {"crystal.cif", "POSCAR", "powder_xrd_cu_ka.csv", "about.json"}
        for name in ("crystal.cif", "POSCAR"):
            again = read([str(folder / name)], progress=False)
            bare = one.relaxed.replace(columns=None, site_columns=None)
            assert match(again.replace(columns=None, site_columns=None), bare).same[0]


def test_powder_patterns_equal_pymatgens(report: Path, finished: Campaign) -> None:
    from pymatgen.analysis.diffraction.xrd import XRDCalculator

    one = finished.findings.stable[0]
    folder = report.with_suffix("") / f"{one.formula}-{one.name}"
    with (folder / "powder_xrd_cu_ka.csv").open() as file:
        rows = list(csv.DictReader(file))
    (structure,) = one.relaxed.replace(columns=None, site_columns=None).to_pymatgen()
    theirs = XRDCalculator("CuKa").get_pattern(structure, two_theta_range=(5, 90))
    strong = np.array(theirs.x)[np.array(theirs.y) > 20]
    ours = np.array([float(row["two_theta_degrees"]) for row in rows])
    assert all(np.abs(ours - angle).min() < 0.05 for angle in strong)


def test_what_a_folder_says_is_what_the_hull_says(report: Path, finished: Campaign) -> None:
    for one in finished.findings.stable:
        folder = report.with_suffix("") / f"{one.formula}-{one.name}"
        told = json.loads((folder / "about.json").read_text())
        assert told["decomposition_energy_ev_per_atom"] <= 0.0
        assert told["decomposition"].startswith(f"{one.formula} →")
        for low, high in told["chemical_potential_windows_ev_per_atom"].values():
            assert high <= 1e-9
            assert low is None or low <= high + 1e-12


def test_a_known_compound_is_recognised_in_each_way() -> None:
    mine = fill("B1", ["Cl", "Na"])
    lists = [KnownList("mine", mine.with_columns(id=["salt"]))]
    (same,) = compare(mine.scaled(mine.volumes * 1.02), lists)
    assert (same.formula, same.protostructure, same.structure) == (("salt",),) * 3
    other = fill("B2", ["Cl", "Na"])
    (formula_alone,) = compare(other, lists)
    assert formula_alone.formula == ("salt",)
    assert formula_alone.structure == ()
    assert "another structure" in formula_alone.sentence
    (none,) = compare(fill("B1", ["O", "Mg"]), lists)
    assert none.sentence == "not among the 1 crystals of mine"


def test_relatives_have_the_structure_type() -> None:
    library = [KnownList("library", fill("B1", [["Cl", "Na"], ["O", "Mg"], ["S", "Zn"]]))]
    names = relatives(fill("B1", ["O", "Ca"]), library)
    assert len(names) == 3
    assert names[0].startswith("MgO")


def test_lists_of_a_campaign_name_their_source(finished: Campaign, tmp_path: Path) -> None:
    from materialabs.crystals.files import write

    path = tmp_path / "own.cif"
    write(fill("L1_2", ["Cu", "Au"]), path)
    row = finished.row
    names = [one.name for one in known_lists(finished.store, row.known_until, [str(path)])]
    assert names == ["the prototype library", "own.cif"]


def test_a_list_that_became_unreadable_is_told_in_the_report(
    finished: Campaign, tmp_path: Path
) -> None:
    own, gone = tmp_path / "own.cif", tmp_path / "gone.cif"
    own.write_text("no crystal")
    row = replace(finished.row, known=(str(own), str(gone)))
    text = Campaign(finished.store, row).report(tmp_path / "r.html", folders=False).read_text()
    assert f"The list {own} was not compared with: Nothing could be read" in text
    assert f"The list {gone} was not compared with: There is no file" in text


def test_costs_are_measured_and_a_perfect_chooser_is_cheapest(finished: Campaign) -> None:
    rows = {row["way"]: row for row in cost_rows(finished.findings, 500)}
    mine = rows["this campaign"]
    assert mine["calls"] == finished.findings.calls
    assert mine["found"] == len(finished.findings.found)
    assert rows["a perfect chooser"]["calls"] <= mine["calls"]


def test_a_campaign_without_a_hull_has_a_report_that_says_so(tmp_path: Path) -> None:
    from materialabs.discovery import discover
    from materialabs.store.store import Store
    from tests.discovery.test_campaigns import Cold

    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        campaign = discover("Cu-Au", 9, store, oracle=Cold(), model="campaign")
        text = campaign.report(tmp_path / "report.html").read_text()
    assert "There is no energy of Au" in text
    assert "no data set for Au" in text
