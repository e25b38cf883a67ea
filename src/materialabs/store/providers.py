"""Import structures from a running OPTIMADE provider, page by page, resumable at any moment.

Each page is one transaction, which also keeps the address of the next page (table ``imports``):
whenever a run is broken off, the next one goes on with the first page that is not stored.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import urlencode, urljoin, urlsplit

from sqlalchemy import Connection, delete, insert, select

from materialabs.crystals.files.entries import Entry, assemble
from materialabs.crystals.files.entries import Refused as Unread
from materialabs.crystals.files.json_objects import entries_in
from materialabs.crystals.files.limits import Limits
from materialabs.errors import ExternalError, MaterialabsError
from materialabs.ledger.entries import LONGEST_LICENCE, check_licence, is_licence
from materialabs.progress import track
from materialabs.store import schema
from materialabs.store.adding import add_observed
from materialabs.store.database import reading, writing
from materialabs.store.http_json import Fetcher, Refused, check_url
from materialabs.store.observations import records_of
from materialabs.store.provider_fields import ProviderFields, read_kinds
from materialabs.store.records import Method
from materialabs.store.store import Store
from materialabs.store.writer import Written

PAGE: Final = 100
"""Structures asked for at a time; a provider may give fewer."""

MOST_REPEATS: Final = 3
"""Times that a page may come again before the provider is given up."""

GEOMETRY: Final = (
    "lattice_vectors", "cartesian_site_positions", "species", "species_at_sites",
    "dimension_types", "nsites", "assemblies", "structure_features", "last_modified",
)  # fmt: skip
"""Standard fields that make a crystal."""


@dataclass
class Imported:
    """What an import did.

    Parameters
    ----------
    written
        Sums over all pages of this run.
    pages, available
        Pages fetched, and structures that the provider says it has for the filter (0 if it does
        not).
    resumed
        Whether it went on from an earlier run.
    refused
        (structure, reason) of what was not stored.
    left_out
        The provider's fields that were not kept, and why.
    licence
        Of the records: what was given, or what the provider states.
    provider
        Its name.
    """

    written: Written = field(default_factory=lambda: Written(0, 0, 0, 0))
    pages: int = 0
    available: int = 0
    resumed: bool = False
    refused: list[tuple[str, str]] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    licence: str = ""
    provider: str = ""

    def count(self, done: Written) -> None:
        """Add one page."""
        self.pages += 1
        self.written = Written(
            self.written.crystals + done.crystals,
            self.written.records + done.records,
            self.written.known + done.known,
            done.size,
        )


def import_optimade(
    store: Store,
    url: str,
    filter: str = "",
    *,
    method: Method | None = None,
    doi: str = "",
    licence: str = "",
    page_limit: int = PAGE,
    restart: bool = False,
    fetcher: Fetcher | None = None,
    progress: bool | None = None,
) -> Imported:
    """Store the structures of an OPTIMADE provider, with the properties that it states.

    Parameters
    ----------
    store
        Where to.
    url
        Base URL of the provider, with a version or without.
    filter
        OPTIMADE filter; empty for all that it has.
    method
        How the values of fields that are not known here were obtained; without it they are left
        out. Those of the Materials Project, Alexandria and OQMD are known.
    doi
        Where the data were published.
    licence
        Under which they are given; by default what the provider states.
    page_limit
        Structures on a page.
    restart
        Begin at the first page, although an earlier run stopped in the middle.
    fetcher
        What fetches; patient by default.
    progress
        Show a bar; by default on a terminal.
    """
    check_url(url)
    client = fetcher or Fetcher()
    base = _base(url)
    done = Imported()
    kinds = _kinds(client, base)
    fields = ProviderFields(kinds, method)
    first = _first_url(base, filter, fields, page_limit)
    source = f"{base} {json.dumps(filter)}"
    start = None if restart else _position(store, source)
    done.resumed = start is not None
    done.licence = check_licence(licence) or _licence(client, base)
    walk = _Walk(client, base, start or first, first)
    for page in track(walk.pages(), label=f"importing from {urlsplit(base).netloc}", show=progress):
        _describe(page, done)
        keep = partial(_keep, source=source, following=walk.following)
        done.count(_store_page(store, page, fields, doi, done, keep))
    done.left_out = dict(fields.left_out)
    return done


# -- addresses ------------------------------------------------------------------------------------


def _base(url: str) -> str:
    """The versioned base URL of whatever address of a provider a user has at hand."""
    plain = url.split("?", 1)[0].split("#", 1)[0].rstrip("/")
    plain = re.sub(r"/(structures|info|links|references)(/.*)?$", "", plain)
    return plain if re.search(r"/v\d+(\.\d+){0,2}$", plain) else f"{plain}/v1"


def _first_url(base: str, filter: str, fields: ProviderFields, page_limit: int) -> str:
    parameters: dict[str, Any] = {"filter": filter} if filter.strip() else {}
    if fields.kinds:
        parameters["response_fields"] = ",".join([*GEOMETRY, *fields.wanted()])
    parameters["page_limit"] = page_limit
    return f"{base}/structures?{urlencode(parameters)}"


def _kinds(client: Fetcher, base: str) -> dict[str, Any]:
    """The provider's own fields; none where it does not describe them."""
    try:
        return dict(read_kinds(client.json(f"{base}/info/structures")))
    except Refused:
        return {}


def _licence(client: Fetcher, base: str) -> str:
    """The licence in the provider's ``/info``."""
    try:
        document = client.json(f"{base}/info")
        attributes = document["data"]["attributes"]
    except (MaterialabsError, KeyError, TypeError):
        return ""
    names = ("available_licenses", "available_licenses_for_entries", "license")
    available = next((attributes[name] for name in names if attributes.get(name)), "")
    if isinstance(available, Mapping):
        available = available.get("href") or ""
    if isinstance(available, list):
        available = " OR ".join(str(one) for one in available)
    stated = " ".join(str(available).split())[:LONGEST_LICENCE].strip()
    return stated if is_licence(stated) else ""


# -- pages ----------------------------------------------------------------------------------------


class _Walk:
    """The pages of an answer, each once, whatever the provider does.

    Parameters
    ----------
    client, base
        What fetches, and the provider's base URL.
    start
        Address of the first page to fetch.
    first
        Address of the provider's first page, to begin again where ``start`` is not known any more.
    """

    def __init__(self, client: Fetcher, base: str, start: str, first: str) -> None:
        self.client = client
        self.base = base
        self.start = start
        self.first = first
        self.following: str | None = start

    def pages(self) -> Iterator[Mapping[str, Any]]:
        """Answers of the provider until it names no next page."""
        address, document = self._begin()
        seen, repeats = {hash(address)}, 0
        last: tuple[str, ...] = ()
        while True:
            following = self._next(document)
            names = _names(document)
            repeats = repeats + 1 if names and names == last else 0
            if repeats >= MOST_REPEATS or (following is not None and hash(following) in seen):
                raise ExternalError(
                    f"{urlsplit(self.base).netloc} gives the same page again and again: what came "
                    "before is stored; try again later, or ask for a narrower filter."
                )
            last = names
            self.following = following
            yield document
            if following is None:
                return
            seen.add(hash(following))
            document = self._checked(self.client.json(following))

    def _begin(self) -> tuple[str, Mapping[str, Any]]:
        """The first page of this run, and its address."""
        try:
            return self.start, self._checked(self.client.json(self.start))
        except Refused as error:
            if self.start == self.first:
                return self.first, self._checked(self._smaller(error))
        # the page at which an earlier run stopped is not there any more
        return self.first, self._checked(self.client.json(self.first))

    def _checked(self, document: Any) -> Mapping[str, Any]:
        if not isinstance(document, Mapping) or not isinstance(document.get("data"), list):
            raise ExternalError(f"{urlsplit(self.base).netloc} does not answer as OPTIMADE does.")
        return document

    def _smaller(self, error: Refused) -> Any:
        """Ask once more without a size of pages and a choice of fields: some allow neither."""
        filter = re.search(r"[?&](filter=[^&]*)", self.first)
        plain = f"{self.base}/structures" + (f"?{filter.group(1)}" if filter else "")
        if error.status not in (400, 403, 406, 422):
            raise error
        try:
            return self.client.json(plain)
        except Refused:
            raise error from None

    def _next(self, document: Mapping[str, Any]) -> str | None:
        links = document.get("links")
        link = links.get("next") if isinstance(links, Mapping) else None
        if isinstance(link, Mapping):
            link = link.get("href")
        if not isinstance(link, str) or not link:
            return None
        address = urljoin(f"{self.base}/structures", link)
        check_url(address)
        if urlsplit(address).hostname != urlsplit(self.base).hostname:
            raise ExternalError(
                f"{urlsplit(self.base).netloc} sends its next page from another host, "
                f"{urlsplit(address).hostname}: import from there if you trust it."
            )
        return address


def _names(document: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(one.get("id")) for one in document["data"] if isinstance(one, Mapping))


def _describe(page: Mapping[str, Any], done: Imported) -> None:
    meta = page.get("meta")
    if not isinstance(meta, Mapping):
        return
    returned = meta.get("data_returned")
    if isinstance(returned, int) and not isinstance(returned, bool):
        done.available = returned
    provider = meta.get("provider")
    if isinstance(provider, Mapping) and isinstance(provider.get("name"), str):
        done.provider = provider["name"][:200]


# -- storing --------------------------------------------------------------------------------------


def _store_page(
    store: Store,
    page: Mapping[str, Any],
    fields: ProviderFields,
    doi: str,
    done: Imported,
    keep: Callable[[Connection], None],
) -> Written:
    """Store what can be read of a page, and where the import goes on, in one transaction."""
    entries, attributes = _read(page["data"], done)
    crystals, kept, refused = assemble(entries, Limits())
    done.refused += [(entries[place].place, reason) for place, reason in refused]
    if not kept:
        with writing(store.engine) as connection:
            keep(connection)
        return Written(0, 0, 0, done.written.size)
    crystals = crystals.replace(columns={"id": crystals.ids()})
    properties = [fields.properties(attributes[place]) for place in kept]
    records = records_of(crystals, properties, doi=doi)
    return add_observed(store, crystals, records, licence=done.licence, also=keep)


def _read(data: Sequence[Any], done: Imported) -> tuple[list[Entry], list[Mapping[str, Any]]]:
    """Entries of the structures that can be read, and their attributes."""
    entries: list[Entry] = []
    attributes: list[Mapping[str, Any]] = []
    for resource in data:
        name = str(resource.get("id")) if isinstance(resource, Mapping) else "?"
        for parsed in entries_in(resource, name, name):
            if isinstance(parsed, Unread):
                done.refused.append((name, parsed.reason))
                continue
            entries.append(parsed)
            attributes.append(resource["attributes"])
    return entries, attributes


def _position(store: Store, source: str) -> str | None:
    table = schema.imports
    with reading(store.engine) as connection:
        found = connection.execute(
            select(table.c.position).where(table.c.source == source)
        ).scalar_one_or_none()
    return found or None


def _keep(connection: Connection, source: str, following: str | None) -> None:
    """Remember the next page; nothing when the import is complete."""
    table = schema.imports
    connection.execute(delete(table).where(table.c.source == source))
    if following is not None:
        connection.execute(
            insert(table).values(source=source, position=following, updated=int(time.time()))
        )
