"""An RO-Crate 1.1 (Soiland-Reyes et al., Data Science 5, 2022): a folder that describes itself."""

from __future__ import annotations

import hashlib
import json
from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from materialabs.errors import MaterialabsError, NotFound
from materialabs.ledger.keyring import Keyring
from materialabs.store.database import reading
from materialabs.store.export_pages import entries_of, values_of
from materialabs.store.identity import log_verifier
from materialabs.store.store import Store

if TYPE_CHECKING:
    from materialabs.store.export import Exported, Selection

METADATA: Final = "ro-crate-metadata.json"
CONTEXT: Final = "https://w3id.org/ro/crate/1.1/context"
SPECIFICATION: Final = "https://w3id.org/ro/crate/1.1"
CHECKPOINT: Final = "log-checkpoint.txt"

PARTS: Final = {
    "records.jsonl": ("jsonl", "application/jsonl",
                      "Records with their crystals and signed log entries, one a line"),
    "structures.optimade.jsonl": ("optimade-jsonl", "application/jsonl",
                                  "Structures as OPTIMADE JSON lines"),
    "values.csv": ("csv", "text/csv", "Every value with its unit, method and level"),
}  # fmt: skip

LICENCES: Final = {
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
}
"""Licences of data by their SPDX names."""

BLOCK: Final = 1 << 20


class _Facts:
    """What the exported records say of themselves, gathered page by page."""

    def __init__(self) -> None:
        self.contributors: set[str] = set()
        self.dois: set[str] = set()
        self.licences: set[str] = set()
        self.measured: set[tuple[str, str, str, str]] = set()

    def gather(self, store: Store, chosen: Selection) -> None:
        """Read the records that are exported."""
        from materialabs.store.export import Exported, pages

        for page in pages(store, chosen, "jsonl", Exported(), progress=False):
            records = [record for listed in page.records.values() for record in listed]
            for entries in entries_of(store, [record.name for record in records]).values():
                self.contributors |= {entry.contributor for entry in entries}
            self.licences |= {record.licence for record in records}
            self.dois |= {record.record.doi for record in records if record.record.doi}
            for value in values_of(records):
                method = value.one.method
                level = "" if method.level is None else str(method.level)
                self.measured.add((value.one.name, value.one.unit, method.kind, level))


def write_crate(
    store: Store,
    chosen: Selection,
    folder: Path,
    licence: str,
    done: Exported,
    progress: bool | None,
) -> None:
    """Write the data files and what describes them.

    Parameters
    ----------
    store, chosen
        What is exported.
    folder
        Empty.
    licence
        URL or SPDX name of the whole; where it is empty, those that the records were given under.
    done, progress
        As for an export.
    """
    from materialabs.store.export import Exported, write_lines

    began = datetime.now(UTC)
    for number, (name, (kind, _, _)) in enumerate(PARTS.items()):
        with suppress(NotFound) if number else nullcontext():  # records without a structure
            write_lines(store, chosen, kind, folder / name, done if number == 0 else Exported(),
                        progress)  # fmt: skip
    (folder / CHECKPOINT).write_text(store.checkpoint, encoding="utf-8")
    facts = _Facts()
    facts.gather(store, chosen)
    licences = [licence] if licence else sorted(facts.licences) or [""]
    graph = [
        _descriptor(),
        _root(chosen, done, licences, facts, began),
        *_files(folder),
        *_licences(licences),
        *_people(store, facts),
        *_publications(facts),
        *_measured(facts),
        *_action(chosen, began),
    ]
    text = json.dumps({"@context": CONTEXT, "@graph": graph}, indent=1, ensure_ascii=False)
    (folder / METADATA).write_text(text + "\n", encoding="utf-8")


def _descriptor() -> dict[str, Any]:
    return {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": SPECIFICATION},
        "about": {"@id": "./"},
    }


def _root(
    chosen: Selection, done: Exported, licences: list[str], facts: _Facts, began: datetime
) -> dict[str, Any]:
    named = [{"@id": _licence_id(one)} for one in licences]
    what = f"the filter {chosen.filter}" if chosen.filter.strip() else "everything"
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": "Crystals and their properties",
        "description": (
            f"{done.structures} structures with {done.records} records, exported from a "
            f"materialabs store; selected: {what}."
        ),
        "datePublished": began.date().isoformat(),
        "license": named[0] if len(named) == 1 else named,
        "hasPart": [{"@id": name} for name in (*PARTS, CHECKPOINT)],
        "contributor": [{"@id": f"#{key}"} for key in sorted(facts.contributors)],
        "citation": [{"@id": _doi_url(doi)} for doi in sorted(facts.dois)],
        "variableMeasured": [{"@id": _measure_id(one)} for one in sorted(facts.measured)],
        "mentions": {"@id": "#export"},
    }


def _files(folder: Path) -> list[dict[str, Any]]:
    meanings = {name: (form, meaning) for name, (_, form, meaning) in PARTS.items()}
    meanings[CHECKPOINT] = ("text/plain", "The signed checkpoint of the log that holds the records")
    return [
        {
            "@id": name,
            "@type": "File",
            "name": name,
            "description": meaning,
            "encodingFormat": form,
            "contentSize": str((folder / name).stat().st_size),
            "sha256": _sha256(folder / name),
        }
        for name, (form, meaning) in meanings.items()
    ]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _licence_id(licence: str) -> str:
    if licence.startswith(("http://", "https://")):
        return licence
    plain = quote(licence, safe="")
    return LICENCES.get(licence, f"#licence-{plain}" if plain else "#licence")


def _licences(licences: list[str]) -> list[dict[str, Any]]:
    """What the licences are; one that several records state is one entity."""
    names = {url: name for name, url in LICENCES.items()}
    found = {_licence_id(licence): licence for licence in licences}
    return [
        {
            "@id": identity,
            "@type": "CreativeWork",
            "name": names.get(identity, licence) or "Not stated",
            "description": names.get(identity, licence)
            or "No licence is stated for some records: ask their contributors.",
        }
        for identity, licence in found.items()
    ]


def _people(store: Store, facts: _Facts) -> list[dict[str, Any]]:
    """Contributors by the names that their keys bear in the log."""
    names = _names(store)
    return [
        {
            "@id": f"#{key}",
            "@type": "Person",
            "name": names.get(key, key),
            "identifier": f"Ed25519 key {key}",
        }
        for key in sorted(facts.contributors)
    ]


def _names(store: Store) -> dict[str, str]:
    from materialabs.store.log import read_keyring

    verifier = log_verifier(store.engine)
    if verifier is None:
        return {}
    try:
        with reading(store.engine) as connection:
            ring: Keyring = read_keyring(connection, verifier.public)
    except MaterialabsError:
        return {}
    return {identity: key.name for identity, key in ring.keys.items()}


def _doi_url(doi: str) -> str:
    return f"https://doi.org/{doi}"


def _publications(facts: _Facts) -> list[dict[str, Any]]:
    return [
        {"@id": _doi_url(doi), "@type": "ScholarlyArticle", "identifier": doi, "name": doi}
        for doi in sorted(facts.dois)
    ]


def _measure_id(one: tuple[str, str, str, str]) -> str:
    return "#" + hashlib.sha256("|".join(one).encode()).hexdigest()[:16]


def _measured(facts: _Facts) -> list[dict[str, Any]]:
    return [
        {
            "@id": _measure_id((name, unit, kind, level)),
            "@type": "PropertyValue",
            "name": name,
            "unitText": unit or "1",
            "measurementTechnique": f"{kind} at {level}" if level else kind,
        }
        for name, unit, kind, level in sorted(facts.measured)
    ]


def _action(chosen: Selection, began: datetime) -> list[dict[str, Any]]:
    """How it was made: the program, its version, the filter, when."""
    from materialabs import __version__

    return [
        {
            "@id": "#export",
            "@type": "CreateAction",
            "name": "Export from a store",
            "instrument": {"@id": "#materialabs"},
            "result": [{"@id": name} for name in (*PARTS, CHECKPOINT)],
            "startTime": began.isoformat(timespec="seconds"),
            "endTime": datetime.now(UTC).isoformat(timespec="seconds"),
            "description": f"filter {chosen.filter!r}, sort {chosen.sort!r}",
        },
        {
            "@id": "#materialabs",
            "@type": "SoftwareApplication",
            "name": "materialabs",
            "version": __version__,
        },
    ]
