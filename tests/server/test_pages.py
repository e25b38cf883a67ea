"""The web pages: what they show, that they load nothing, and that nothing breaks into them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlencode

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from materialabs.crystals.batch import Crystals
from materialabs.crystals.files import read
from materialabs.levels import MP2020
from materialabs.server.app import create_app
from materialabs.server.limits import Limits
from materialabs.server.markup import Html, element, formula, joined
from materialabs.server.pages import ROWS
from materialabs.server.picture import drawing
from materialabs.store.records import Method, Property, Record
from materialabs.store.store import Store
from tests.store.made_crystals import made_crystals, made_properties, odd_crystals

COUNT = 60
HARM = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """A page as a browser reads it: elements with their attributes, texts, cells of tables."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self._cell = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[-1][-1] += data

    def links(self) -> list[str]:
        return [told["href"] or "" for tag, told in self.elements if tag == "a"]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as made:
        made.add(made_crystals(COUNT), made_properties(COUNT), doi="10.1/x", licence="CC-BY-4.0")
        yield made


@pytest.fixture
def app(store: Store) -> FastAPI:
    return create_app(store, Limits())


def asked(app: FastAPI, path: str, **parameters: str) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return await client.get(path + ("?" + urlencode(parameters) if parameters else ""))

    return asyncio.run(ask())


def name_of(store: Store, source: str) -> str:
    return store.query(f'source="{source}"').names()[0]


# -- search ---------------------------------------------------------------------------------------


def test_the_first_page_shows_all_crystals(app: FastAPI, store: Store) -> None:
    answer = asked(app, "/")
    rows = Reader(answer.text).rows
    assert (answer.status_code, len(rows)) == (200, ROWS + 1)
    assert f"{COUNT} crystals" in answer.text
    first = store.query("").page(1).rows[0]
    assert rows[1][0] == first["formula"]
    assert rows[1][5] == f"{first['band_gap']:.3f}"


@pytest.mark.parametrize("sort", ["", "-band_gap", "formula", "hull_distance"])
def test_the_pages_hold_each_crystal_once_and_in_order(
    app: FastAPI, store: Store, sort: str
) -> None:
    wanted = store.query("band_gap>=1", sort=sort).names()
    address: str | None = "/?" + urlencode({"filter": "band_gap>=1", "sort": sort})
    seen: list[str] = []
    while address:
        page = asked(app, address).text
        links = Reader(page).links()
        seen += [one.removeprefix("/crystals/") for one in links if one.startswith("/crystals/")]
        found = re.search(r'href="([^"]+)" rel="next"', page)
        address = found.group(1).replace("&amp;", "&") if found else None
    assert seen == wanted


def test_a_filter_is_shown_again_as_it_was_typed(app: FastAPI) -> None:
    typed = 'elements HAS "O" AND formula CONTAINS "2"'
    boxes = [told for tag, told in Reader(asked(app, "/", filter=typed).text).elements
             if tag == "input" and told.get("type") == "search"]  # fmt: skip
    assert boxes[0]["value"] == typed


def test_following_a_heading_twice_sorts_both_ways(app: FastAPI) -> None:
    up = asked(app, "/", sort="band_gap").text
    assert "sort=-band_gap" in "".join(Reader(up).links())
    gaps = [float(row[5]) for row in Reader(up).rows[1:]]
    assert gaps == sorted(gaps)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [({"filter": "band_gapp>1"}, "did you mean band_gap"), ({"filter": "nsites="}, ""),
     ({"sort": "colour"}, "colour"), ({"cursor": "x"}, ""), ({"filter": HARM}, ""),
     ({"filter": "(" * 5000}, "")],
)  # fmt: skip
def test_what_is_wrong_is_told_on_the_page(
    app: FastAPI, parameters: dict[str, str], words: str
) -> None:
    answer = asked(app, "/", **parameters)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert words in answer.text
    assert all(tag not in ("script", "img") for tag, _ in Reader(answer.text).elements)


def test_another_providers_property_is_a_warning_and_nothing_found(app: FastAPI) -> None:
    answer = asked(app, "/", filter="_exmpl_x=2")
    assert answer.status_code == 200
    assert "belongs to another provider" in answer.text
    assert "No crystal fits" in answer.text


def test_models_count_only_where_they_are_asked_for(app: FastAPI, store: Store) -> None:
    crystal = store.entries()
    record = store.record(next(one.record for one in crystal if one.record))
    guess = Property("hull_distance", 0.01, "eV/atom", Method("model", "net"))
    store.add_records([Record((guess,), crystal=record.crystal, composition=record.composition)])
    assert "No crystal fits" in asked(app, "/", filter="hull_distance<1").text
    assert "1 crystal<" in asked(app, "/", filter="hull_distance<1", predicted="1").text


# -- one crystal ----------------------------------------------------------------------------------


def test_a_crystal_shows_its_values_with_method_level_licence_and_proof(
    app: FastAPI, store: Store
) -> None:
    page = asked(app, f"/crystals/{name_of(store, 'made-0-3')}").text
    gap, energy = made_properties(COUNT)[3]
    rows = [row for row in Reader(page).rows if row and row[0].startswith(("band", "formation"))]
    assert [row[0].split(" preferred")[0] for row in rows] == ["band gap", "formation energy"]
    assert [float(row[1]) for row in rows] == [pytest.approx(gap.value), energy.value]
    assert {row[3] for row in rows} == {"dft"}
    assert all(str(MP2020) in row and "CC-BY-4.0" in row for row in rows)
    assert page.count(">proved<") == 1
    assert "https://doi.org/10.1/x" in page
    assert store.identity.contributor.name in page


def test_the_preferred_value_is_marked_and_a_model_never_is(app: FastAPI, store: Store) -> None:
    record = store.record(next(one.record for one in store.entries() if one.record))
    more = (
        Property("band_gap", 1.25, "eV", Method("experiment"), 0.05, {"temperature": (300, "K")}),
        Property("stiffness", 2.0, "GPa", Method("model")),
        Property("magnetic", True, "", Method("dft", level=MP2020)),
        Property("tensor", [1.0, 2.0], "eV", Method("experiment")),
    )
    store.add_records([Record(more, crystal=record.crystal, composition=record.composition)])
    page = asked(app, f"/crystals/{record.crystal[:16]}").text
    rows = [row for row in Reader(page).rows if len(row) > 6]
    marked = {row[0].split(" preferred")[0]: row[1] for row in rows if "preferred" in row[0]}
    assert marked["band gap"] == "1.25 ± 0.05"
    assert "stiffness" not in marked
    assert (marked["magnetic"], marked["tensor"]) == ("yes", "2 numbers")
    assert "temperature 300 K" in page


def test_a_proof_that_does_not_hold_is_not_called_one(app: FastAPI, store: Store) -> None:
    name = name_of(store, "made-0-3")
    with store.engine.begin() as connection:
        connection.execute(
            text("UPDATE log_entries SET leaf = CAST(substr(leaf, 1, length(leaf) - 1) || x'00' "
                 "AS BLOB) WHERE record_hash IS NOT NULL")
        )  # fmt: skip
    answer = asked(app, f"/crystals/{name}")
    assert answer.status_code == 200
    assert ">proved<" not in answer.text
    assert 'class="bad small"' in answer.text


def test_texts_of_strangers_are_shown_and_do_nothing(app: FastAPI, store: Store) -> None:
    crystals = made_crystals(1, 9).replace(columns={"id": [HARM]})
    note = Property("note", HARM, "", Method("experiment", HARM, HARM))
    store.add(crystals, [(note,)], doi=HARM, licence=HARM)
    name = store.query("").names()[-1]
    for path in ("/", f"/crystals/{name}", "/ledger"):
        page = Reader(asked(app, path).text)
        assert all(tag not in ("script", "img") for tag, _ in page.elements)
        assert all(not key.startswith("on") for _, told in page.elements for key in told)
    assert HARM in "".join(
        "".join(row) for row in Reader(asked(app, f"/crystals/{name}").text).rows
    )


def test_a_cif_comes_back_as_the_crystal(app: FastAPI, store: Store, tmp_path: Path) -> None:
    row = store.query('source="made-0-3"').page(1).rows[0]
    answer = asked(app, f"/crystals/{row['name']}.cif")
    assert "attachment" in answer.headers["content-disposition"]
    (tmp_path / "one.cif").write_text(answer.text)
    back = read(tmp_path / "one.cif", progress=False)
    assert back.reduced_formulas() == [row["formula"]]
    assert back.volumes[0] == pytest.approx(row["volume"], rel=1e-4)


@pytest.mark.parametrize("name", ["nope", "..%2f..%2fetc%2fpasswd", 'a"b', "%00", "²", ".cif"])
def test_a_name_that_nothing_bears_is_404(app: FastAPI, name: str) -> None:
    answer = asked(app, f"/crystals/{name}")
    assert answer.status_code == 404
    assert "root:" not in answer.text


@pytest.mark.parametrize("kind", odd_crystals())
def test_every_kind_of_crystal_has_a_page(app: FastAPI, store: Store, kind: str) -> None:
    store.add(odd_crystals()[kind])
    name = store.query("").names()[-1]
    page = asked(app, f"/crystals/{name}")
    assert page.status_code == 200
    assert "<svg" in page.text
    assert not re.search(r"\bnan\b", page.text.lower())


def test_the_drawing_shows_atoms_on_the_faces_on_both_sides() -> None:
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    caesium_chloride = Crystals.from_arrays([np.eye(3) * 4.12], [sites], [[55, 17]])
    balls = [told for tag, told in Reader(drawing(caesium_chloride)).elements if tag == "circle"]
    assert sum(told["fill"] == "url(#e55)" for told in balls) == 8
    assert sum(told["fill"] == "url(#e17)" for told in balls) == 1
    spots = {(told["cx"], told["cy"]) for told in balls if told["fill"] == "url(#e55)"}
    assert len(spots) == 8


# -- the rest -------------------------------------------------------------------------------------


def test_the_log_shows_its_key_checkpoint_and_newest_entries(app: FastAPI, store: Store) -> None:
    page = asked(app, "/ledger").text
    rows = [row for row in Reader(page).rows if row and row[0].isdigit()]
    entries = list(store.entries())
    assert [int(row[0]) for row in rows] == list(range(len(entries) - 1, len(entries) - 26, -1))
    assert rows[0][4] == entries[-1].record[:16]
    assert store.identity.signer.verifier.to_text() in page
    assert store.checkpoint.splitlines()[2] in page


def test_an_empty_store_has_pages_too(tmp_path: Path) -> None:
    with Store(tmp_path / "empty.db", keys=tmp_path / "keys") as empty:
        app = create_app(empty)
        assert "No crystal fits" in asked(app, "/").text
        assert "The log is empty" in asked(app, "/ledger").text


def test_the_interface_page_names_every_address(app: FastAPI) -> None:
    document = asked(app, "/openapi.json").json()
    page = asked(app, "/docs").text
    assert all(path in page for path in document["paths"])
    assert not any(path in document["paths"] for path in ("/", "/crystals/{name}", "/ledger"))


@pytest.mark.parametrize("path", ["/", "/ledger", "/docs", "/crystals/{}", "/crystals/nope"])
def test_a_page_loads_nothing_and_runs_nothing(app: FastAPI, store: Store, path: str) -> None:
    answer = asked(app, path.format(name_of(store, "made-0-3")))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    page = Reader(answer.text)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "img"}
    assert all("src" not in told for _, told in page.elements)
    assert "url(http" not in answer.text
    assert "@import" not in answer.text


def test_every_link_leads_somewhere(app: FastAPI, store: Store) -> None:
    name = name_of(store, "made-0-3")
    for path in ("/", f"/crystals/{name}", "/ledger", "/docs"):
        page = asked(app, path).text
        names = {told.get("id") for _, told in Reader(page).elements}
        for link in set(Reader(page).links()):
            if link.startswith("#"):
                assert link[1:] in names
            elif not link.startswith("https://doi.org/"):
                assert asked(app, link).status_code == 200, link


@given(st.text())
def test_no_text_becomes_markup(told: str) -> None:
    made = element("p", told, joined([told]), formula(told), title=told)
    seen = Reader(made).elements
    assert [tag for tag, _ in seen if tag != "sub"] == ["p"]
    assert set(seen[0][1]) == {"title"}


def test_attributes_are_left_out_or_stand_alone() -> None:
    made = element("input", checked=True, disabled=False, value=None, aria_label="x", class_="y")
    assert made == '<input checked aria-label="x" class="y">'
    assert element("p", Html("<b>x</b>")) == "<p><b>x</b></p>"
