"""A real server on loopback: ``materialabs serve`` in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from materialabs.ledger.entries import key_fields, signed_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.server.access import new_key, revoke_key
from materialabs.store.database import writing
from materialabs.store.log import append
from materialabs.store.store import Store
from tests.store.made_crystals import made_crystals, made_properties

ROOT = Path(__file__).parents[2]
COMMAND = "from materialabs.cli import main; main()"
START_SECONDS = 120
STOP_SECONDS = 60
CRYSTALS = 120
DOI = "10.1000/made"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Node:
    """A store with contributors and API keys, and the process that serves it."""

    place: Path
    keys: Path
    contributor: ContributorKey
    other: ContributorKey
    write_key: str
    read_key: str
    revoked_key: str
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """All that the server has said."""
        return self.place.with_suffix(".log").read_text()

    def start(self) -> None:
        self.port = self.port or free_port()
        environment = {**os.environ, "MATERIALABS_KEYS": str(self.keys)}
        call = ["serve", "--store", str(self.place), "--port", str(self.port)]
        with self.place.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, *call], env=environment, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        self._await_answer()

    def _await_answer(self) -> None:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            assert self.process is not None
            assert self.process.poll() is None, self.log
            try:
                with urllib.request.urlopen(f"{self.url}/optimade/versions", timeout=10):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        pytest.fail(f"The server did not start: {self.log}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; gives the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(STOP_SECONDS)


def made_node(folder: Path) -> Node:
    """A filled store that knows two contributors beside its own."""
    place, keys = folder / "lab.db", folder / "keys"
    contributor, other = ContributorKey.new("visitor"), ContributorKey.new("rival")
    with Store(place, keys=keys) as store:
        store.add(made_crystals(CRYSTALS), made_properties(CRYSTALS), doi=DOI)
        for key in (contributor, other):
            entry = signed_entry("key-add", key_fields(key), store.identity.log)
            with writing(store.engine) as connection:
                append(connection, [entry], store.identity.signer)
        made = [new_key(store.engine, name, scope) for name, scope in
                (("visitor", "write"), ("reader", "read"), ("gone", "write"))]  # fmt: skip
        revoke_key(store.engine, "gone")
    return Node(place, keys, contributor, other, *made)


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """One server for all tests that change nothing, or only add."""
    made = made_node(tmp_path_factory.mktemp("node"))
    made.start()
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[Node]:
    """A server of the test's own, to be stopped or killed."""
    made = made_node(tmp_path)
    made.start()
    yield made
    made.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def validator_programs() -> Path:
    """Programs of the OPTIMADE validator's own environment, made by ``make validator``."""
    programs = ROOT / ".validator-venv" / "bin"
    if (programs / "optimade-validator").exists():
        return programs
    message = "No OPTIMADE validator here: run make validator"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
