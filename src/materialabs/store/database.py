"""Open the database of a store: a SQLite file by default, PostgreSQL for a group."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from materialabs.errors import ExternalError, InputError, IntegrityError, ResourceError
from materialabs.store.migrations import migrate
from materialabs.store.schema import DATABASE_VERSION, metadata, store_info

BUSY_SECONDS: Final = 120
"""How long a writer waits for another before it gives up."""

CACHE_KILOBYTES: Final = 524_288
"""SQLite's page cache of a connection."""

WAL_PAGES: Final = 25_000
"""Pages in the write-ahead log before it is folded into the file (100 MB): indexes on hashes touch
pages at random, and folding them seldom writes each once instead of many times."""

MAPPED_BYTES: Final = 1 << 30
"""Of a SQLite file that are read through the page cache of the system."""

CONNECTIONS_KEPT: Final = 10
"""Open connections that a process keeps for the next request."""

CONNECTIONS_MORE: Final = 30
"""Opened beyond those when many ask at once; together as many as the server has threads."""

ROWS_LOOKED_AT: Final = 2000
"""Of each index, when SQLite counts how many rows share a value."""

MOUNTS: Final = Path("/proc/mounts")
"""Where the system says what is mounted."""

WRITER_LOCK: Final = 0x6D61_7465
"""PostgreSQL advisory lock that one writer holds at a time: the log has one right edge."""

NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "lustre", "beegfs", "gpfs", "ceph", "glusterfs",
     "fuse.sshfs", "fuse.glusterfs", "fuse.cephfs", "9p", "afs", "pvfs2", "orangefs"}
)  # fmt: skip
"""Kinds on which SQLite's locks cannot be trusted."""


def open_database(place: str | Path) -> Engine:
    """Open a store's database and make its tables where there are none.

    Parameters
    ----------
    place
        Path of a SQLite file, or a ``postgresql://`` URL.
    """
    engine = _engine(str(place))
    try:
        with _transaction(engine, writes=True) as connection:
            _prepare(connection)
    except OperationalError as error:
        raise ResourceError(
            f"The store {_shown(engine)} cannot be opened: {_why(error)}"
        ) from error
    except DBAPIError as error:
        raise IntegrityError(f"{_shown(engine)} is not a store: {_why(error)}") from error
    return engine


def _engine(place: str) -> Engine:
    if place.startswith(("postgresql://", "postgres://")):
        address = place.split("://", 1)[1]
        try:
            return create_engine(f"postgresql+psycopg://{address}", pool_pre_ping=True, **_pool())
        except ModuleNotFoundError as error:
            raise ExternalError(
                "PostgreSQL needs psycopg: pip install 'materialabs[postgres]'"
            ) from error
    if "://" in place:
        raise InputError(
            f"A store is a file or a postgresql:// URL, not {place.split('://', 1)[0]}://."
        )
    path = Path(place)
    if not path.parent.exists():
        raise InputError(f"The folder {path.parent} does not exist: make it first.")
    if path.is_dir():
        raise InputError(f"{path} is a folder; name a file such as {path / 'lab.db'}.")
    _refuse_network(path)
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        **_pool(),
    )
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _pool() -> dict[str, Any]:
    return {
        "pool_size": CONNECTIONS_KEPT,
        "max_overflow": CONNECTIONS_MORE,
        "pool_timeout": BUSY_SECONDS,
    }


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for setting in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_SECONDS * 1000}",
        f"cache_size=-{CACHE_KILOBYTES}",
        f"wal_autocheckpoint={WAL_PAGES}",
        f"mmap_size={MAPPED_BYTES}",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
    ):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """A writer takes the lock at once, so that it never has to give up half-way."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction with the right to write; one writer at a time, others wait."""
    with _told(engine), _transaction(engine, writes=True) as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that sees the store as it was when it began."""
    with _told(engine), _transaction(engine, writes=False) as connection:
        yield connection


@contextmanager
def _transaction(engine: Engine, *, writes: bool) -> Iterator[Connection]:
    options: dict[str, Any] = {"writes": writes}
    if engine.dialect.name == "postgresql" and not writes:
        options["isolation_level"] = "REPEATABLE READ"
    with engine.connect().execution_options(**options) as connection, connection.begin():
        if engine.dialect.name == "postgresql" and writes:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WRITER_LOCK})
        yield connection


@contextmanager
def _told(engine: Engine) -> Iterator[None]:
    """What goes wrong below the store as one sentence; the transaction is undone by then."""
    try:
        yield
    except OperationalError as error:
        raise ResourceError(_sentence(_shown(engine), _why(error))) from error
    except PoolTimeoutError as error:
        raise ResourceError(
            f"Too many ask {_shown(engine)} at once: try again in a while."
        ) from error
    except DatabaseError as error:
        if "malformed" not in _why(error) and "not a database" not in _why(error):
            raise
        raise IntegrityError(
            f"{_shown(engine)} is damaged ({_why(error)}): restore it from a copy, or mirror it "
            "from another node."
        ) from error


def _sentence(place: str, why: str) -> str:
    if "locked" in why:
        return (
            f"Another program has held {place} for more than {BUSY_SECONDS} s: run this again "
            "when it is done."
        )
    if "disk" in why:
        return (
            f"The disk under {place} is full or fails ({why}); what is stored is safe and this "
            "step was undone: free some space and run this again."
        )
    return f"{place} cannot be used now ({why}): what is stored is safe; run this again later."


def refresh_statistics(engine: Engine) -> None:
    """Let SQLite look at its indexes again where they have grown, so that it chooses well.

    PostgreSQL does this by itself.
    """
    if engine.dialect.name == "sqlite":
        with writing(engine) as connection:
            connection.exec_driver_sql(f"PRAGMA analysis_limit={ROWS_LOOKED_AT}")
            connection.exec_driver_sql("ANALYZE")


def _prepare(connection: Connection) -> None:
    tables = set(inspect(connection).get_table_names())
    if store_info.name not in tables:
        if tables & set(metadata.tables):
            raise IntegrityError("The database holds tables of this name that are not a store's.")
        metadata.create_all(connection)
        connection.execute(
            insert(store_info).values(name="database_version", value=str(DATABASE_VERSION))
        )
        return
    if migrate(connection, read_info(connection, "database_version")):
        write_info(connection, "database_version", str(DATABASE_VERSION))


def read_info(connection: Connection, name: str) -> str | None:
    """One of the store's own facts."""
    found = connection.execute(select(store_info.c.value).where(store_info.c.name == name))
    return found.scalar_one_or_none()


def write_info(connection: Connection, name: str, value: str) -> None:
    """Set one of the store's own facts."""
    connection.execute(store_info.delete().where(store_info.c.name == name))
    connection.execute(insert(store_info).values(name=name, value=value))


def _refuse_network(path: Path) -> None:
    kind = file_system(path, MOUNTS)
    if kind in NETWORK_FILE_SYSTEMS:
        raise InputError(
            f"{path} lies on a network file system ({kind}), where SQLite can lose data: use a "
            "local disk, a postgresql:// URL, or the server of another node."
        )


def file_system(path: Path, mounts: Path) -> str:
    """Kind of the file system that a path lies on, or an empty text where it is not known."""
    if not mounts.exists():
        return ""
    place = path.absolute()
    best, kind = -1, ""
    for line in mounts.read_text().splitlines():
        fields = line.split()
        point = Path(fields[1].replace("\\040", " "))
        if (place == point or point in place.parents) and len(point.parts) > best:
            best, kind = len(point.parts), fields[2]
    return kind


def _shown(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=True).removeprefix("sqlite:///")


def _why(error: DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]
