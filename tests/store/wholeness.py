"""Whether a store is whole: each record has its crystal, values and entry, and there is no more."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import func, select

from materialabs.store import schema
from materialabs.store.database import reading
from materialabs.store.store import Store
from materialabs.store.verify import verify


def counts(store: Store) -> dict[str, int]:
    """Rows of every table that a record touches, and entries of the log that name a record."""
    entries = schema.log_entries
    questions = {
        "crystals": select(func.count()).select_from(schema.crystals),
        "structures": select(func.count()).select_from(schema.structures),
        "records": select(func.count()).select_from(schema.records),
        "values": select(func.count()).select_from(schema.property_values),
        "entries": select(func.count())
        .select_from(entries)
        .where(entries.c.record_hash.is_not(None)),
    }
    with reading(store.engine) as connection:
        return {
            name: int(connection.execute(question).scalar_one())
            for name, question in questions.items()
        }


def assert_whole(place: str | Path, keys: Path, values: int = 1, *, everything: bool = True) -> int:
    """Nothing is half there, and the log proves all; gives the number of records.

    Without ``everything``, signatures that were checked before are not checked again; all else is.
    """
    with Store(place, keys=keys) as store:
        found = counts(store)
        records = found["records"]
        wanted = {"records": records, "entries": records, "values": records * values}
        assert found == {"crystals": records, "structures": records, **wanted}
        verdict = verify(store, keys=keys, everything=everything)
        assert verdict.good, verdict.problems
    return records
