"""The one schema of the store, for SQLite and PostgreSQL alike.

Three kinds of tables stand here, and ``ledger verify`` treats them differently:

- **witnessed**: records, crystals, blobs, the log and its keys. Every byte is covered by the log.
- **derived**: made from the witnessed ones and made again whenever the code that derives them
  changes; verification recomputes and compares them.
- **operational** (:data:`OPERATIONAL`): leases, caches, rate limits, access keys. Not verified.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    literal_column,
)
from sqlalchemy.types import TypeEngine

DATABASE_VERSION: Final = 3
"""Of the tables below; an older store is migrated (:mod:`materialabs.store.migrations`), a newer
one refused."""

WIDE_PROPERTIES: Final = (
    "band_gap",
    "formation_energy",
    "hull_distance",
    "bulk_modulus",
    "shear_modulus",
)
"""Properties whose preferred value stands in the wide row of each crystal."""

metadata = MetaData()

# Rows are numbered by a 64-bit integer; SQLite numbers only INTEGER PRIMARY KEY by itself.
_RowId: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")
# Texts compare byte by byte on both databases, so that both sort alike.
_Text: TypeEngine[str] = Text().with_variant(Text(collation="C"), "postgresql")

_TEXT_STANDS = literal_column("text").is_not(None)

store_info = Table(
    "store_info",
    metadata,
    Column("name", _Text, primary_key=True),
    Column("value", _Text, nullable=False),
)
"""Version, origin of the log, code versions that derived the derived tables."""

# -- witnessed ------------------------------------------------------------------------------------

crystals = Table(
    "crystals",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("content", LargeBinary, nullable=False),
)
"""Crystals as named bytes (:mod:`materialabs.crystals.blobs`)."""

blobs = Table(
    "blobs",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""Large values, such as spectra, named by their SHA-256."""

records = Table(
    "records",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("hash", LargeBinary, nullable=False, unique=True),
    Column("body", LargeBinary),  # canonical JSON; empty when withdrawn
    Column("crystal_id", _RowId, index=True),
    Column("superseded", Boolean, nullable=False, default=False),
)
"""Records in canonical JSON, named by their SHA-256."""

log_entries = Table(
    "log_entries",
    metadata,
    Column("position", _RowId, primary_key=True, autoincrement=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("record_hash", LargeBinary, index=True),
    Column("contributor", _Text, nullable=False),
)
"""The leaves of the log in order (:mod:`materialabs.ledger.entries`)."""

log_hashes = Table(
    "log_hashes",
    metadata,
    Column("level", SmallInteger, primary_key=True),
    Column("number", _RowId, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)
"""Roots of complete subtrees at levels 8, 16, ... of the log's tree."""

log_checkpoints = Table(
    "log_checkpoints",
    metadata,
    Column("size", _RowId, primary_key=True, autoincrement=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("note", _Text, nullable=False),
)
"""The last signed checkpoint, with the frontier to append to.

Older ones are dropped at each commit: the last covers all that they did, and a signed checkpoint
of the past is what somebody would need who cuts the log back to it.
"""

cosignatures = Table(
    "cosignatures",
    metadata,
    Column("size", _RowId, primary_key=True, autoincrement=False),
    Column("witness", _Text, primary_key=True),
    Column("note", _Text, nullable=False),
)
"""Checkpoints with a witness's cosignature, and the witness's public key."""

mirrored_logs = Table(
    "mirrored_logs",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("origin", _Text, nullable=False, unique=True),
    Column("verifier", _Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("note", _Text, nullable=False),
    Column("proof", LargeBinary, nullable=False),
)
"""Logs of other nodes: how many of their entries are here, the right edge of these, the last
checkpoint believed, and the proof that these entries are the beginning of what it stands for."""

mirrored_entries = Table(
    "mirrored_entries",
    metadata,
    Column("log_id", _RowId, primary_key=True),
    Column("position", _RowId, primary_key=True),
    Column("leaf", LargeBinary, nullable=False),
    Column("record_hash", LargeBinary, index=True),
    Column("contributor", _Text, nullable=False),
)
"""The leaves of other nodes' logs."""

mirrored_hashes = Table(
    "mirrored_hashes",
    metadata,
    Column("log_id", _RowId, primary_key=True),
    Column("level", SmallInteger, primary_key=True),
    Column("number", _RowId, primary_key=True),
    Column("hash", LargeBinary, nullable=False),
)
"""Roots of complete subtrees of other nodes' logs."""

# -- derived --------------------------------------------------------------------------------------

systems = Table(
    "systems",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("system", _Text, nullable=False, unique=True),
    Column("elements_low", BigInteger, nullable=False),
    Column("elements_high", BigInteger, nullable=False),
    Column("nelements", SmallInteger, nullable=False),
    Column("count", BigInteger, nullable=False, default=0),
)
"""Distinct sets of elements as bit masks: few rows, so that HAS ALL scans these first."""

structures = Table(
    "structures",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=False),
    Column("name", _Text, nullable=False, unique=True),
    Column("system_id", _RowId, nullable=False),
    Column("formula", _Text, nullable=False),
    Column("formula_alphabetical", _Text, nullable=False),
    Column("formula_anonymous", _Text, nullable=False),
    Column("formula_descriptive", _Text, nullable=False),
    Column("nelements", SmallInteger, nullable=False),
    Column("nsites", Integer, nullable=False),
    Column("dimensions", SmallInteger, nullable=False),
    Column("disordered", Boolean, nullable=False),
    Column("space_group", SmallInteger),
    Column("crystal_system", _Text),
    Column("prototype", _Text),
    Column("volume", Double, nullable=False),
    Column("density", Double, nullable=False),
    Column("source", _Text),
    Column("modified", BigInteger, nullable=False),
    # The preferred value of each property that is filtered most: without models, and of models.
    *(Column(name, Double) for name in WIDE_PROPERTIES),
    *(Column(f"{name}_model", Double) for name in WIDE_PROPERTIES),
    # What few crystals share; all else is found in the blocks below.
    Index("structures_by_system", "system_id"),
    Index("structures_by_formula", "formula"),
    Index("structures_by_source", "source"),
)
"""One wide row for each crystal: what is filtered and sorted most."""

structure_blocks = Table(
    "structure_blocks",
    metadata,
    Column("name", _Text, primary_key=True),
    Column("block", _RowId, primary_key=True),
    Column("stop", BigInteger, nullable=False),
    Column("content", LargeBinary, nullable=False),
)
"""The wide rows and the narrow values once more, column by column, for crystals up to number
``stop`` (:mod:`materialabs.store.blocks`)."""

structure_changes = Table(
    "structure_changes",
    metadata,
    Column("id", _RowId, primary_key=True, autoincrement=False),
)
"""Crystals whose rows in blocks are out of date; without these notes verification names them."""

property_names = Table(
    "property_names",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("name", _Text, nullable=False, unique=True),
    Column("unit", _Text, nullable=False),
)
"""Properties and the base unit that their values are kept in."""

literature = Table(
    "literature",
    metadata,
    Column("doi", _Text, primary_key=True),
)
"""Publications that records come from."""

mentions = Table(
    "mentions",
    metadata,
    Column("record_id", _RowId, primary_key=True),
    Column("role", _Text, primary_key=True),
    Column("hash", LargeBinary, primary_key=True),
    Index("mentions_by_hash", "hash"),
)
"""What a record speaks of: ``supersedes`` a record, has a ``blob``; found from the other end."""

levels = Table(
    "levels",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("document", _Text, nullable=False, unique=True),
    Column("functional", _Text, nullable=False),
    Column("label", _Text, nullable=False),
)
"""Levels of theory in canonical JSON."""

property_values = Table(
    "property_values",
    metadata,
    Column("id", _RowId, primary_key=True),
    Column("record_id", _RowId, nullable=False, index=True),
    Column("crystal_id", _RowId, index=True),
    Column("name_id", _RowId, nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("level_id", _RowId),
    Column("number", Double),
    Column("text", _Text),
    Column("uncertainty", Double),
    Index("property_values_by_name", "name_id", "method", "level_id"),
    Index("property_values_of_texts", "name_id", sqlite_where=_TEXT_STANDS,
          postgresql_where=_TEXT_STANDS),
)  # fmt: skip
"""Every value of every property in its base unit: the narrow table."""

# -- operational ----------------------------------------------------------------------------------

access_keys = Table(
    "access_keys",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("name", _Text, nullable=False),
    Column("scopes", _Text, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)
"""API keys, hashed."""

imports = Table(
    "imports",
    metadata,
    Column("source", _Text, primary_key=True),
    Column("position", _Text, nullable=False),
    Column("updated", BigInteger, nullable=False),
)
"""How far each import has come, so that it goes on where it stopped."""

mirrors = Table(
    "mirrors",
    metadata,
    Column("url", _Text, primary_key=True),
    Column("origin", _Text, nullable=False),
    Column("verifier", _Text, nullable=False),
    Column("trust", _Text, nullable=False),
    Column("synced", BigInteger),
    Column("evidence", _Text, nullable=False, default="[]"),
)
"""Where other nodes' logs are fetched, how their keys came here, and evidence against them."""

witnessed_logs = Table(
    "witnessed_logs",
    metadata,
    Column("origin", _Text, primary_key=True),
    Column("note", _Text, nullable=False),
)
"""The last checkpoint that this node has cosigned of each log, as a witness."""

access_entries = Table(
    "access_entries",
    metadata,
    Column("position", _RowId, primary_key=True, autoincrement=False),
    Column("moment", BigInteger, nullable=False, index=True),
    Column("who", _Text, nullable=False),
    Column("what", _Text, nullable=False, index=True),
    Column("leaf", LargeBinary, nullable=False),
)
"""The second log: who used what (:mod:`materialabs.store.access_log`)."""

access_checkpoints = Table(
    "access_checkpoints",
    metadata,
    Column("size", _RowId, primary_key=True, autoincrement=False),
    Column("peaks", LargeBinary, nullable=False),
    Column("note", _Text, nullable=False),
)
"""The last signed checkpoint of the second log."""

OPERATIONAL: Final = frozenset(
    {"access_keys", "imports", "mirrors", "store_info", "witnessed_logs", "access_entries",
     "access_checkpoints", "structure_changes"}
)  # fmt: skip
"""Tables that verification leaves out, and nothing else."""
