"""Stores to test with: a SQLite file, and a real PostgreSQL that the tests start themselves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from materialabs.store.store import Store

UNPRIVILEGED = "postgres"
"""User that the cluster runs as when the tests run as root, which PostgreSQL refuses."""


def postgres_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a cluster on loopback, made for this run and removed after it."""
    programs = postgres_programs()
    if programs is None:
        message = "PostgreSQL is not installed: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with tempfile.TemporaryDirectory(prefix="materialabs-pg-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        data = home / "data"
        data.mkdir(mode=0o700)
        prefix: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(home, UNPRIVILEGED)
            shutil.chown(data, UNPRIVILEGED)
            prefix = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}",
                      "--init-groups"]  # fmt: skip
        run = [*prefix, "env", "LC_ALL=C.UTF-8"]
        subprocess.run(
            [*run, programs / "initdb", "-D", data, "-U", "tests", "-A", "trust", "-E", "UTF8"],
            check=True, capture_output=True, cwd=home,
        )  # fmt: skip
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -k {home} -c fsync=off"
        subprocess.run(
            [*run, programs / "pg_ctl", "-D", data, "-o", options, "-l", home / "log", "-w",
             "start"],
            check=True, capture_output=True, cwd=home,
        )  # fmt: skip
        try:
            yield f"postgresql://tests@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run(
                [*run, programs / "pg_ctl", "-D", data, "-m", "immediate", "stop"],
                check=False, capture_output=True, cwd=home,
            )  # fmt: skip


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder of keys that is nobody's."""
    return tmp_path / "keys"


@pytest.fixture
def sqlite_store(tmp_path: Path, keys: Path) -> Iterator[Store]:
    with Store(tmp_path / "lab.db", keys=keys) as store:
        yield store


@pytest.fixture
def postgres_store(
    postgres_url: str, keys: Path, request: pytest.FixtureRequest
) -> Iterator[Store]:
    """A store in a database of its own."""
    import psycopg

    name = "lab_" + os.urandom(6).hex()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    with Store(postgres_url.rsplit("/", 1)[0] + "/" + name, keys=keys) as store:
        yield store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Store:
    """The same tests on both databases."""
    made: Store = request.getfixturevalue(f"{request.param}_store")
    return made
