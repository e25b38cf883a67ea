"""The OPTIMADE API, version 1.2: structures, references, info, links, versions."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse

from materialabs.crystals.blobs import from_blobs
from materialabs.errors import InputError, NotFound
from materialabs.server.answers import API_VERSION, BASES, Count, answer, base_url, next_link
from materialabs.server.definitions import REFERENCES, STRUCTURES, described
from materialabs.store.database import reading
from materialabs.store.documents import attributes
from materialabs.store.export_pages import stored_records, values_of
from materialabs.store.filters.fields import NEWER, PREFIX, VALUES
from materialabs.store.filters.syntax import FilterError
from materialabs.store.query import Page, Results
from materialabs.store.references import references
from materialabs.store.store import Store

GEOMETRY = frozenset(
    {"elements", "elements_ratios", "dimension_types", "lattice_vectors",
     "cartesian_site_positions", "fractional_site_positions", "site_coordinate_span", "species",
     "species_at_sites", "assemblies"}
)  # fmt: skip
"""Attributes that need the crystal, not only its wide row."""

DEFAULT_PAGE = 20
"""Entries on a page when the client names no number."""

Filter = Annotated[str, Query(description='OPTIMADE filter, such as elements HAS "Li"')]
Sort = Annotated[str, Query(description="Properties joined by commas, a minus before falling")]
Fields = Annotated[str | None, Query(description="Attributes to give, joined by commas")]
Size = Annotated[int, Query(ge=1, description="Entries on the page")]
Cursor = Annotated[str | None, Query(description="From the link to the next page")]
Format = Annotated[str, Query(description="Only json")]


def router(store: Store, most: int) -> APIRouter:
    """The routes over a store, to be mounted at each base URL.

    Parameters
    ----------
    store
        Where the entries come from.
    most
        Entries on one page at most.
    """
    routes = APIRouter()
    usual = min(DEFAULT_PAGE, most)

    @routes.get("/structures")
    def list_structures(
        request: Request,
        filter: Filter = "",
        sort: Sort = "",
        response_fields: Fields = None,
        page_limit: Size = usual,
        page_cursor: Cursor = None,
        response_format: Format = "json",
    ) -> JSONResponse:
        """Structures that a filter selects."""
        _check(response_format, page_limit, most)
        chosen = _fields(response_fields)
        results = Results(store.engine, filter, sort=sort, bare=False)
        found, page = results.counted_page(page_limit, page_cursor)
        documents = _documents(store, page.rows, chosen)
        count = Count(found, len(store), page.cursor is not None)
        return answer(
            request, documents, count,
            following=next_link(request, page.cursor), warnings=results.warnings,
        )  # fmt: skip

    @routes.get("/structures/{name:path}")
    def one_structure(
        request: Request,
        name: str,
        response_fields: Fields = None,
        response_format: Format = "json",
    ) -> JSONResponse:
        """One structure by its id."""
        _check(response_format, 1, most)
        page = _by_name(store, name)
        documents = _documents(store, page.rows, _fields(response_fields))
        return answer(
            request, documents[0] if documents else None, Count(len(documents), len(store))
        )

    @routes.get("/references")
    def list_references(
        request: Request,
        filter: Filter = "",
        response_fields: Fields = None,
        page_limit: Size = usual,
        page_cursor: Cursor = None,
        response_format: Format = "json",
    ) -> JSONResponse:
        """Publications that the records come from."""
        _check(response_format, page_limit, most)
        found, total, cursor = references(store.engine, filter, page_limit, page_cursor)
        return answer(
            request, [_reference(doi, response_fields) for doi in found],
            Count(total, references(store.engine, "", 1, None)[1], cursor is not None),
            following=next_link(request, cursor),
        )  # fmt: skip

    @routes.get("/references/{doi:path}")
    def one_reference(request: Request, doi: str, response_fields: Fields = None) -> JSONResponse:
        """One publication by its DOI."""
        quoted = doi.replace("\\", "\\\\").replace('"', '\\"')
        found, _, _ = references(store.engine, f'id="{quoted}"', 1, None)
        total = references(store.engine, "", 1, None)[1]
        data = _reference(found[0], response_fields) if found else None
        return answer(request, data, Count(len(found), total))

    @routes.get("/info")
    def info(request: Request) -> JSONResponse:
        """What is served here."""
        return answer(request, _info(request))

    @routes.get("/info/{entry}")
    def entry_info(request: Request, entry: str) -> JSONResponse:
        """The properties of one kind of entry."""
        known = {"structures": STRUCTURES, "references": REFERENCES}
        if entry not in known:
            raise NotFound(f"There are no entries of kind {entry!r}; known are {sorted(known)}.")
        return answer(request, described(entry, known[entry]))

    @routes.get("/links")
    def links(request: Request) -> JSONResponse:
        """Related databases: this one alone."""
        return answer(request, [_root_link(request)], Count(1, 1))

    @routes.get("/versions")
    def versions() -> PlainTextResponse:
        """Major versions served."""
        return PlainTextResponse("version\n1\n", media_type="text/csv; header=present")

    return routes


def _check(response_format: str, size: int, most: int) -> None:
    if response_format != "json":
        raise FilterError(f"The response format {response_format!r} is not given; ask for json.")
    if size > most:
        raise InputError(f"A page holds at most {most} entries.", code="page.too_large")


def _fields(text: str | None, known: Container[str] = STRUCTURES) -> frozenset[str] | None:
    if text is None:
        return None
    names = frozenset(name for name in text.split(",") if name)
    for name in names:
        foreign = name.startswith("_") and not name.startswith(PREFIX)
        if name not in known and not foreign:
            raise FilterError(f"There is no property {name!r}.", code="filter.unknown_property")
    return names


def _by_name(store: Store, name: str) -> Page:
    if not name.isalnum():
        return Page([], None)
    return Results(store.engine, f'id="{name}"').page(1)


def _documents(
    store: Store, rows: list[Mapping[str, Any]], chosen: frozenset[str] | None
) -> list[dict[str, Any]]:
    """Entries with the attributes that were asked for."""
    crystals = None
    told = _values(store, rows) if chosen is None or VALUES in chosen else {}
    if rows and (chosen is None or chosen & GEOMETRY):
        contents = store.contents([row["id"] for row in rows])
        crystals = from_blobs(contents)
    entries = []
    for place, row in enumerate(rows):
        values = attributes(row, None if crystals is None else crystals[place])
        values[VALUES] = told.get(row["id"])
        shown = [name for name in values if name not in NEWER]
        if chosen is not None:
            shown = sorted(chosen - {"id", "type"})
        values = {name: values.get(name) for name in shown}
        entries.append({"id": row["name"], "type": "structures", "attributes": values})
    return entries


def _values(store: Store, rows: list[Mapping[str, Any]]) -> dict[int, list[dict[str, Any]]]:
    """Every value of these structures with its unit, method, level and record."""
    with reading(store.engine) as connection:
        records = stored_records(connection, [int(row["id"]) for row in rows])
    return {
        number: [one.document() for one in values_of(listed)]
        for number, listed in records.items()
        if number is not None
    }


def _reference(doi: str, fields: str | None) -> dict[str, Any]:
    values: dict[str, Any] = {"doi": doi, "last_modified": None}
    if fields is not None:
        chosen = _fields(fields, REFERENCES) or frozenset()
        values = {name: values.get(name) for name in chosen - {"id", "type"}}
    return {"id": doi, "type": "references", "attributes": values}


def _info(request: Request) -> dict[str, Any]:
    versions = [
        {"url": f"{base_url(request)}/v{version}/", "version": API_VERSION}
        for version in ("1", "1.2", API_VERSION)
    ]
    return {
        "type": "info",
        "id": "/",
        "attributes": {
            "api_version": API_VERSION,
            "available_api_versions": versions,
            "formats": ["json"],
            "available_endpoints": ["structures", "references", "info", "links", "versions"],
            "entry_types_by_format": {"json": ["structures", "references"]},
            "is_index": False,
            "license": None,
            "available_licenses": None,
        },
    }


def _root_link(request: Request) -> dict[str, Any]:
    return {
        "type": "links",
        "id": "materialabs",
        "attributes": {
            "name": "materialabs",
            "description": "This store",
            "base_url": base_url(request),
            "homepage": None,
            "link_type": "root",
        },
    }


__all__ = ["BASES", "router"]
