"""The page of one crystal: its cell, its values with method and level, and what proves them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from materialabs.errors import MaterialabsError
from materialabs.ledger.keyring import Keyring
from materialabs.ledger.merkle import inclusion_proof, verify_inclusion
from materialabs.ledger.notes import open_checkpoint
from materialabs.server.markup import Html, Part, element, facts, formula, joined, table
from materialabs.server.picture import drawing, legend
from materialabs.store.database import reading
from materialabs.store.export_pages import (
    ExportedValue,
    StoredRecord,
    entries_of,
    stored_records,
    values_of,
)
from materialabs.store.identity import log_verifier
from materialabs.store.log import (
    DatabaseHashes,
    positions_of,
    read_keyring,
    read_leaves,
    read_state,
)
from materialabs.store.store import Store

HEADS: Final = (
    "Property", "Value", "Unit", "Method", "Program", "Level", "Conditions", "Licence", "Record",
)  # fmt: skip

WRAPPED: Final = ("Program", "Level", "Conditions", "Licence")
"""Columns of longer texts."""

MOST_SITES_LISTED: Final = 200
"""Rows of the table of sites."""

MOST_PROOFS: Final = 20
"""Records whose proofs are shown."""


def crystal_parts(store: Store, row: Mapping[str, Any]) -> list[Part]:
    """Everything below the page's head."""
    number = int(row["id"])
    crystal = store.crystals([number])
    with reading(store.engine) as connection:
        records = stored_records(connection, [number])[number]
    return [
        element("h1", formula(row["formula"])),
        element("p", _said(row), class_="soft"),
        element(
            "div",
            element("div", drawing(crystal), class_="card picture"),
            element("div", _cell(row, crystal), legend(crystal), _downloads(row), class_="card"),
            class_="split",
        ),
        element("h2", "Values"),
        _values(values_of(records)),
        element("h2", "Proof"),
        *_proofs(store, records),
        element("h2", "Sites"),
        _sites(crystal),
    ]


def _said(row: Mapping[str, Any]) -> str:
    group = f", space group {row['space_group']}" if row["space_group"] else ""
    order = ", with shared sites" if row["disordered"] else ""
    system = row["crystal_system"] or "crystal"
    return f"{system}{group}, {row['nsites']} sites{order}"


def _cell(row: Mapping[str, Any], crystal: Any) -> Html:
    from ase.geometry import cell_to_cellpar

    a, b, c, alpha, beta, gamma = cell_to_cellpar(crystal.lattice[0])
    return facts(
        [
            ("Edges (Å)", f"{a:.4f}, {b:.4f}, {c:.4f}"),
            ("Angles (°)", f"{alpha:.2f}, {beta:.2f}, {gamma:.2f}"),
            ("Volume (Å³)", f"{row['volume']:.3f}"),
            ("Density (g/cm³)", f"{row['density']:.3f}"),
            ("Anonymous formula", formula(row["formula_anonymous"])),
            ("Prototype", row["prototype"]),
            ("Source", row["source"]),
            ("Name", element("code", row["name"])),
        ]
    )


def _downloads(row: Mapping[str, Any]) -> Html:
    links = (
        ("CIF", f"/crystals/{row['name']}.cif"),
        ("OPTIMADE JSON", f"/optimade/v1/structures/{row['name']}"),
    )
    made = joined(element("a", name, href=place) for name, place in links)
    return element("nav", made, class_="pages", aria_label="Downloads")


def _values(values: Sequence[ExportedValue]) -> Html:
    if not values:
        return element("p", "Nothing but the crystal itself is known.", class_="soft")
    groups: dict[str, list[ExportedValue]] = {}
    for value in values:
        groups.setdefault(value.one.name, []).append(value)
    rows = [
        _value(value, place == 0 and value.one.method.kind != "model")
        for listed in groups.values()
        for place, value in enumerate(listed)
    ]
    return _table(HEADS, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[Part]]) -> Html:
    """The values; columns in which nothing stands are left out."""
    kept = [place for place in range(len(heads)) if any(row[place] for row in rows)]
    chosen = [[row[place] for place in kept] for row in rows]
    names = [heads[place] for place in kept]
    longer = [names.index(name) for name in WRAPPED if name in names]
    return table(names, chosen, numeric=(1,), wrapped=longer)


def _value(value: ExportedValue, preferred: bool) -> list[Part]:
    told = value.document()
    mark = element("span", "preferred", class_="badge") if preferred else ""
    spread = f" ± {told['uncertainty']:g}" if told["uncertainty"] is not None else ""
    conditions = ", ".join(
        f"{name.replace('_', ' ')} {number:g} {unit}"
        for name, (number, unit) in value.one.conditions.items()
    )
    record = element("a", element("code", told["record"][:12]), href=f"#r{told['record'][:16]}")
    return [
        joined([told["property"].replace("_", " "), " ", mark]),
        joined([_content(value), spread]),
        told["unit"],
        told["method"],
        told["program"],
        told["level"],
        conditions,
        told["licence"],
        record,
    ]


def _content(value: ExportedValue) -> Part:
    one = value.one
    if one.blob:
        return element("a", "spectrum", href=f"/api/v1/crystals/{one.blob}")
    if isinstance(one.value, bool):
        return "yes" if one.value else "no"
    if isinstance(one.value, float):
        return f"{one.value:.6g}"
    return f"{len(one.value)} numbers" if isinstance(one.value, list) else one.value


def _sites(crystal: Any) -> Html:
    from materialabs.elements import SYMBOLS

    names = [SYMBOLS[number] for number in crystal.numbers]
    if crystal.occupancy is not None:
        names = [_shares(crystal.occupancy, site) for site in range(len(names))]
    rows = [
        [place + 1, name, *(f"{part:.5f}" for part in spot)]
        for place, (name, spot) in enumerate(zip(names, crystal.frac.tolist(), strict=True))
    ]
    made = table(("", "Element", "x", "y", "z"), rows[:MOST_SITES_LISTED], numeric=(0, 2, 3, 4))
    more = len(rows) - MOST_SITES_LISTED
    return joined([made, element("p", f"and {more} more", class_="soft") if more > 0 else ""])


def _shares(occupancy: Any, site: int) -> str:
    from materialabs.elements import SYMBOLS

    start, stop = occupancy.offsets[site], occupancy.offsets[site + 1]
    pairs = zip(occupancy.occupants[start:stop], occupancy.fractions[start:stop], strict=True)
    return " + ".join(f"{share:g} {SYMBOLS[number]}" for number, share in pairs)


# -- proofs ---------------------------------------------------------------------------------------


def _proofs(store: Store, records: Sequence[StoredRecord]) -> list[Part]:
    parts: list[Part] = [_proof(store, record) for record in records[:MOST_PROOFS]]
    if len(records) > MOST_PROOFS:
        parts.append(element("p", f"and {len(records) - MOST_PROOFS} more", class_="soft"))
    command = element("code", "materialabs ledger bundle RECORD -o review")
    does = " writes the proof with a program that needs nothing of this server."
    parts.append(element("p", "Check it yourself: ", command, does, class_="soft small"))
    return parts


def _proof(store: Store, record: StoredRecord) -> Html:
    """What the log says of a record, checked now."""
    try:
        told, badge = _checked(store, record), element("span", "proved", class_="badge")
    except MaterialabsError as error:
        told = facts(_mirrored(store, record))
        badge = element("span", str(error), class_="bad small")
    links = (
        ("record", f"/api/v1/records/{record.name}"),
        ("proof", f"/api/v1/proofs/{record.name}"),
    )
    state = " (corrected by a later record)" if record.superseded else ""
    return element(
        "div",
        element("p", element("code", record.name), " ", badge, state),
        told,
        element("nav", joined(element("a", name, href=place) for name, place in links),
                class_="pages small", aria_label="As JSON"),
        class_="card proof", id=f"r{record.name[:16]}",
    )  # fmt: skip


def _checked(store: Store, record: StoredRecord) -> Html:
    """The entry of a record in the own log: its path to the signed root, and its signature."""
    from materialabs.ledger.entries import LogEntry
    from materialabs.ledger.merkle import leaf_hash

    with reading(store.engine) as connection:
        index = positions_of(connection, bytes.fromhex(record.name))[0]
        state, verifier = read_state(connection), log_verifier(store.engine)
        assert verifier is not None
        leaf = read_leaves(connection, index, index + 1)[0]
        path = inclusion_proof(DatabaseHashes(connection), index, state.frontier.size)
        ring: Keyring = read_keyring(connection, verifier.public)
    checkpoint = open_checkpoint(state.note, verifier)
    verify_inclusion(leaf_hash(leaf), index, checkpoint.size, path, checkpoint.root)
    entry = LogEntry.parse(leaf)
    entry.verify(ring.public_at(entry.contributor, index))
    return facts(
        [
            ("Signed by", ring.keys[entry.contributor].name),
            ("Time", moment(entry.time)),
            ("Entry", f"{index:,} of {checkpoint.size:,}"),
            ("Licence", entry.licence or "not stated"),
            ("DOI", _doi(record.record.doi)),
            ("Path", f"{len(path)} hashes to the signed root"),
        ]
    )


def moment(time: str) -> str:
    """An entry's time to the second."""
    return f"{time[:10]} {time[11:19]} UTC"


def _mirrored(store: Store, record: StoredRecord) -> list[tuple[Part, Part]]:
    """What other nodes' logs say of a record."""
    entries = entries_of(store, [record.name])[record.name]
    signers: list[tuple[Part, Part]] = [("Signed by", entry.contributor) for entry in entries]
    return [*signers, ("Licence", record.licence or "not stated")]


def _doi(doi: str) -> Part:
    return element("a", doi, href=f"https://doi.org/{doi}", rel="noreferrer") if doi else ""
