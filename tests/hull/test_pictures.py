from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hull_systems import LEVEL, formation, random_system

from materialabs.errors import InputError, ResourceError
from materialabs.hull.hull import Hull
from materialabs.hull.labels import extent, place_beside, place_labels, subscripted, view_from
from materialabs.hull.pictures import write_html
from materialabs.hull.table import subscripts, summary_of
from materialabs.levels import Energies, Level


def sulfides() -> Hull:
    return Hull(
        ["Li2S", "P2S5", "Li3PS4", "LiPS3"], formation([-1.5, -0.8, -1.25, -0.9]), ids=list("abcd")
    )


def named(figure: object) -> set[str]:
    return {note.text for note in figure.layout.annotations}  # type: ignore[attr-defined]


def trace(figure: object, name: str) -> object:
    return next(t for t in figure.data if t.name == name)  # type: ignore[attr-defined]


def test_a_binary_draws_formation_energies_over_the_fraction() -> None:
    hull = Hull(["Li2O", "LiO", "Li3O"], formation([-2.0, -1.6, -0.2]))
    figure = hull.figure()
    stable = trace(figure, "stable")
    assert stable.x == pytest.approx([0, 1 / 3, 1 / 2, 1])
    assert stable.y == pytest.approx([0, -2.0, -1.6, 0])
    assert named(figure) == {"Li₂O", "Li₂O₂"}


def test_phases_far_above_a_binary_are_counted_not_hidden() -> None:
    hull = Hull(["Li2O", "LiO"], formation([-2.0, 5.0]))
    assert "1 phases lie above this picture" in named(hull.figure())


def test_a_triangle_names_stable_compounds_and_corners() -> None:
    assert named(sulfides().figure()) == {
        "Li₂S", "P₂S₅", "Li₃PS₄", "<b>Li</b>", "<b>P</b>", "<b>S</b>",
    }  # fmt: skip


def test_a_triangle_draws_every_tie_line_once() -> None:
    hull = sulfides()
    path = np.array(hull.figure().data[0].x)
    edges = {frozenset(pair) for facet in hull.facets.vertices.tolist()
             for pair in zip(facet, facet[1:] + facet[:1], strict=True)}  # fmt: skip
    assert np.isnan(path).sum() == len(edges)


def test_unstable_phases_are_coloured_by_their_distance() -> None:
    hull = sulfides()
    marker = trace(hull.figure(), "unstable").marker  # type: ignore[attr-defined]
    assert marker.color == pytest.approx(hull.distances[[3]])


def test_the_pointer_shows_distance_and_decomposition() -> None:
    (text,) = trace(sulfides().figure(), "unstable").text  # type: ignore[attr-defined]
    assert "eV/atom above the hull" in text
    assert "→ " in text


def test_a_tetrahedron_names_its_phases_in_space() -> None:
    hull = Hull(*random_system(4, 40, 1))
    figure = hull.figure(["LiO"], formation([-0.5]))
    texts = {text for t in figure.data if t.mode == "text" for text in t.text}
    stable = hull.compositions[hull.entries_on_hull]
    compounds = [s for s, n in zip(stable.reduced_formulas(), np.diff(stable.offsets), strict=True)
                 if n > 1]  # fmt: skip
    assert {subscripted(name) for name in compounds} <= texts
    assert {f"<b>{symbol}</b>" for symbol in hull.symbols} <= texts


@pytest.mark.parametrize("formulas", [["Li2S"], ["Li3PS4"]])
def test_candidates_are_marked_with_their_distance(formulas: list[str]) -> None:
    hull = sulfides() if formulas == ["Li3PS4"] else Hull(["Li2S"], formation([-1.5]))
    found = trace(hull.figure(formulas, formation([0.5])), "candidate")
    assert "candidate, " in found.text[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize("hull", [sulfides(), Hull(["Li2S"], formation([-1.5]))])
def test_candidates_without_energies_are_marked_by_place(hull: Hull) -> None:
    found = trace(hull.figure(["LiS"]), "candidate")
    assert found.text[0].endswith("candidate")  # type: ignore[attr-defined]


def test_a_picture_says_when_candidates_come_from_a_potential() -> None:
    hull = Hull(["Li2S"], formation([-1.5]), allow_emulated=True)
    level = Level("PBE", code="CHGNet", emulates=LEVEL)
    figure = hull.figure(["Li2S"], Energies([-1.6], "formation", level))
    assert "CHGNet, which emulates it" in figure.layout.title.text


@pytest.mark.parametrize("formula", ["Li2FePS4O", "Fe"])
def test_other_numbers_of_elements_are_not_drawn(formula: str) -> None:
    with pytest.raises(InputError, match="choose a sub-system"):
        Hull([formula], formation([0.0])).figure()


def test_the_html_file_needs_nothing_from_a_network(tmp_path: Path) -> None:
    path = sulfides().html(tmp_path / "hull.html")
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", text) == []
    assert "Plotly.newPlot" in text
    assert [file.name for file in tmp_path.iterdir()] == ["hull.html"]


def test_a_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="cannot be written"):
        write_html(sulfides().figure(), tmp_path / "none" / "hull.html")


def test_names_do_not_cover_one_another() -> None:
    points = np.array([[100.0, 100.0], [112.0, 104.0], [108.0, 92.0]])
    names = ["Li₂S", "Li₃PS₄", "P₂S₅"]
    offsets = place_labels(names, points, points, 15, np.zeros((3, 2)))
    middles = points + offsets
    for i in range(3):
        for j in range(i):
            across = abs(middles[i, 0] - middles[j, 0])
            along = abs(middles[i, 1] - middles[j, 1])
            (a, b), (c, d) = extent(names[i], 15), extent(names[j], 15)
            assert across >= (a + c) / 2 or along >= (b + d) / 2


def test_a_lone_name_stands_on_the_side_it_prefers() -> None:
    point = np.array([[50.0, 50.0]])
    for way in ([0.0, -1.0], [0.0, 1.0], [1.0, 0.0]):
        (offset,) = place_labels(["Li"], point, point, 15, np.array([way]))
        assert offset @ way > 0


def test_names_beside_crowded_markers_cover_less_than_all_on_top() -> None:
    points = np.stack([np.linspace(0, 40, 5), np.zeros(5)], axis=1)
    cost, places = place_beside(["Li₃PS₄"] * 5, points, points, 12)
    assert len(set(places)) > 1
    assert cost >= 0


def test_the_views_directions_are_at_right_angles() -> None:
    eye, across, up = view_from(30.0, 20.0)
    products = [eye @ across, eye @ up, across @ up]
    assert products == pytest.approx([0.0, 0.0, 0.0], abs=1e-12)
    assert up[2] > 0


def test_rows_are_json_with_the_most_stable_first() -> None:
    rows = json.loads(json.dumps(sulfides().table()))
    assert [row["stable"] for row in rows] == [True] * 6 + [False]
    assert rows[-1]["decomposition"] == "0.3333 Li3PS4 + 0.3333 P2S5"
    assert set(rows[0]) == {
        "formula", "id", "energy", "formation_energy", "distance", "stable",
        "decomposition_energy", "decomposition",
    }  # fmt: skip


def test_the_row_of_a_stable_phase_says_what_it_beats() -> None:
    row = next(row for row in sulfides().table() if row["id"] == "c")
    assert row["decomposition"] == "1.5 Li2S + 0.5 P2S5"
    assert row["decomposition_energy"] == pytest.approx(-1.25 + (9 * 1.5 / 2 + 7 * 0.8 / 2) / 8)


def test_a_summary_names_system_and_level() -> None:
    summary = summary_of(sulfides())
    assert (summary["system"], summary["stable"], summary["level"]) == ("Li-P-S", 6, "PBE")


def test_a_notebook_shows_the_first_rows() -> None:
    html = Hull(*random_system(3, 40, 1))._repr_html_()
    assert html.count("<tr>") == 16
    assert "more</p>" in html
    assert "<sub>" in html


def test_formulas_get_subscripts() -> None:
    assert subscripts("Li1.5PS4") == "Li<sub>1.5</sub>PS<sub>4</sub>"
