"""Web pages: search, one crystal with its values and proofs, the log, the interface.

They need no script and load nothing from anywhere, so that they work in any browser, behind any
wall, and for anyone who reads the page's source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, Response

from materialabs.crystals.files.cif_writer import blocks_of
from materialabs.errors import InputError, MaterialabsError
from materialabs.server.crystal_page import crystal_parts
from materialabs.server.interface_page import interface_parts
from materialabs.server.log_page import log_parts
from materialabs.server.markup import Html, Part, element, formula, joined, page, table
from materialabs.store.query import Page, Results
from materialabs.store.store import Store

ROWS: Final = 25
"""Crystals on a page of results."""

EXAMPLES: Final = (
    'elements HAS ALL "Li","O"',
    'elements HAS ONLY "Li","P","S"',
    'crystal_system="hexagonal" AND band_gap>=1 AND band_gap<=2',
    "nelements=2 AND formation_energy<-1",
    'formula CONTAINS "Fe2"',
    "hull_distance<=0.05",
)
"""Filters to begin with."""

COLUMNS: Final = (
    ("formula", "Formula", ""),
    ("crystal_system", "Crystal system", ""),
    ("space_group", "Space group", ""),
    ("nsites", "Sites", ""),
    ("density", "Density", "g/cm³"),
    ("band_gap", "Band gap", "eV"),
    ("formation_energy", "Formation energy", "eV/atom"),
    ("hull_distance", "Hull distance", "eV/atom"),
    ("source", "Source", ""),
)
"""Columns of the results: property, name, unit."""

NUMERIC: Final = (2, 3, 4, 5, 6, 7)

PLACEHOLDER: Final = 'elements HAS ALL "Li","O" AND band_gap>=1'

Filter = Annotated[str, Query(max_length=20_000)]
Sort = Annotated[str, Query(max_length=500)]
Cursor = Annotated[str | None, Query(max_length=5000)]


def router(store: Store) -> APIRouter:
    """The pages over a store."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    def search(
        filter: Filter = "", sort: Sort = "", cursor: Cursor = None, predicted: bool = False
    ) -> HTMLResponse:
        """Search, and the crystals that it finds."""
        asked = {"filter": filter.strip(), "sort": sort, "predicted": "1" if predicted else ""}
        head = [element("h1", "Crystals"), _form(asked)]
        try:
            results = Results(store.engine, asked["filter"], sort=sort, predicted=predicted)
            count, found = results.counted_page(ROWS, cursor)
        except InputError as error:
            return page("Search", *head, element("p", str(error), class_="bad"), status=400)
        told = [element("p", one, class_="soft") for one in results.warnings]
        return page("Search", *head, *told, *_results(found, count, asked, cursor))

    @routes.get("/crystals/{name}")
    def crystal(name: str) -> Response:
        """One crystal with its values and what proves them, or its CIF."""
        plain = name.removesuffix(".cif")
        row = _row(store, plain)
        if row is None:
            missing = element("p", f"This store has no crystal {plain[:80]!r}.")
            back = element("p", element("a", "Search", href="/"))
            return page("Not found", element("h1", "Not found"), missing, back, status=404)
        if plain == name:
            return page(row["formula"], *crystal_parts(store, row))
        text = next(iter(blocks_of(store.crystals([row["id"]]))))
        headers = {"content-disposition": f'attachment; filename="{row["name"]}.cif"'}
        return Response(text, media_type="chemical/x-cif", headers=headers)

    @routes.get("/ledger")
    def log() -> HTMLResponse:
        """The log: its checkpoint, its key, its newest entries."""
        return page("Log", *log_parts(store))

    return routes


def add_interface(routes: APIRouter, document: Any) -> None:
    """The page that describes the interface for programs, made from its OpenAPI document."""

    @routes.get("/docs", include_in_schema=False)
    def interface() -> HTMLResponse:
        """Every address, its parameters and its answers."""
        return page("Interface", *interface_parts(document()))


def _row(store: Store, name: str) -> Mapping[str, Any] | None:
    if not name.isascii() or not name.isalnum():
        return None
    try:
        rows = Results(store.engine, f'id="{name}"').page(1).rows
    except MaterialabsError:
        return None
    return rows[0] if rows else None


def _form(asked: dict[str, str]) -> Html:
    field = element(
        "input", type="search", name="filter", value=asked["filter"], placeholder=PLACEHOLDER,
        aria_label="Filter", autocomplete="off", spellcheck="false", maxlength=20_000,
    )  # fmt: skip
    box = element("input", type="checkbox", name="predicted", value="1",
                  checked=bool(asked["predicted"]))  # fmt: skip
    kept = element("input", type="hidden", name="sort", value=asked["sort"])
    label = element("label", box, "count models' values")
    button = element("button", "Search", type="submit")
    form = element("form", field, button, label, kept, action="/", method="get", role="search")
    chips = joined(
        element("a", element("code", one), href="/?" + urlencode({"filter": one}))
        for one in EXAMPLES
    )
    return element("section", form, element("div", chips, class_="chips"), class_="card")


def _results(found: Page, count: int, asked: dict[str, str], cursor: str | None) -> list[Part]:
    if not count:
        return [element("p", "No crystal fits this filter."), _hint()]
    noun = "crystal" if count == 1 else "crystals"
    return [
        element("h2", f"{count:,} {noun}"),
        table([_head(one, asked) for one in COLUMNS], (_cells(row) for row in found.rows), NUMERIC),
        _links(found, asked, cursor),
        _hint(),
    ]


def _hint() -> Html:
    return element(
        "p", "Filters are those of OPTIMADE. A property alone is its preferred value: experiment "
        "before beyond-DFT before DFT before potentials; ", element("code", "band_gap.experiment"),
        " or ", element("code", "band_gap.pbe"), " select.", class_="soft small",
    )  # fmt: skip


def _head(column: tuple[str, str, str], asked: dict[str, str]) -> Html:
    """A column's name; following it sorts by it, and once more the other way."""
    name, label, unit = column
    turned = f"-{name}" if asked["sort"] == name else name
    sign = {name: " ↑", f"-{name}": " ↓"}.get(asked["sort"], "")
    shown = f"{label} ({unit})" if unit else label
    return element("a", shown + sign, href=_address(asked | {"sort": turned}))


def _cells(row: Mapping[str, Any]) -> list[Part]:
    link = element("a", formula(row["formula"]), href=f"/crystals/{row['name']}")
    return [link, *(shown(row[name]) for name, _, _ in COLUMNS[1:])]


def shown(value: Any) -> Part:
    """A value of the wide row; a dash where it is unknown."""
    if value is None:
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _links(found: Page, asked: dict[str, str], cursor: str | None) -> Html:
    links = []
    if cursor is not None:
        links.append(element("a", "← First page", href=_address(asked)))
    if found.cursor is not None:
        following = _address(asked | {"cursor": found.cursor})
        links.append(element("a", "Next page →", href=following, rel="next"))
    return element("nav", joined(links), class_="pages", aria_label="Pages")


def _address(asked: Mapping[str, str]) -> str:
    return "/?" + urlencode({name: value for name, value in asked.items() if value})
