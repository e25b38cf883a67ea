"""The second log: what was used is written down by the name of the key, and cannot be rewritten."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import uvicorn
from fastapi import FastAPI

from materialabs.errors import IntegrityError
from materialabs.server.access import new_key
from materialabs.server.app import create_app, open_access_log
from materialabs.store.access_log import NOBODY, AccessLog, Use, usage, verify_access, write_uses
from materialabs.store.store import Store
from materialabs.store.verify import verify
from tests.store.test_query import some_crystals


def some_uses(count: int) -> list[Use]:
    return [Use("mary", f"GET /x/{n % 3}", 200, 1_700_000_000 + n) for n in range(count)]


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """An application on loopback, stopped as SIGTERM stops it."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def ask(url: str, key: str = "") -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        answer.read()


@pytest.fixture
def used(store: Store) -> Store:
    store.add(some_crystals(3, 5))
    write_uses(store, some_uses(10))
    write_uses(store, some_uses(20))
    return store


def test_uses_are_counted_by_what_and_who(used: Store) -> None:
    first = usage(used)[0]
    assert (first.what, first.who, first.uses) == ("GET /x/0", "mary", 11)


def test_uses_are_counted_since_a_moment(used: Store) -> None:
    assert sum(one.uses for one in usage(used, since=1_700_000_010)) == 10


def test_a_sound_log_of_access_verifies(used: Store) -> None:
    assert verify_access(used) == 30


def test_an_empty_log_of_access_verifies(store: Store) -> None:
    assert verify_access(store) == 0


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE access_entries SET who = 'john' WHERE position = 7",
        "UPDATE access_entries SET moment = 5 WHERE position = 7",
        "UPDATE access_entries SET leaf = (SELECT leaf FROM access_entries WHERE position = 3), "
        "what = 'GET /x/0', moment = 1700000003 WHERE position = 7",
        "DELETE FROM access_entries WHERE position = 7",
        "DELETE FROM access_entries WHERE position = 29",
        "DELETE FROM access_checkpoints",
        "UPDATE access_checkpoints SET note = replace(note, '30', '31')",
    ],
)
def test_a_change_in_the_log_of_access_is_found(used: Store, change: str) -> None:
    with used.engine.begin() as connection:
        connection.exec_driver_sql(change)
    with pytest.raises(IntegrityError):
        verify_access(used)


def test_the_first_log_does_not_depend_on_the_second(used: Store) -> None:
    with used.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM access_entries")
    assert verify(used, keys=used.keys).good


def test_requests_are_noted_with_the_name_of_the_key(sqlite_store: Store) -> None:
    sqlite_store.add(some_crystals(3, 5))
    key = new_key(sqlite_store.engine, "mary", "read")
    place, keys = sqlite_store.place, sqlite_store.keys
    app = create_app(sqlite_store, access_log=open_access_log(sqlite_store))
    with serving(app) as url:
        ask(f"{url}/log/checkpoint", key)
        ask(f"{url}/log/checkpoint?secret=1")
        ask(f"{url}/log/checkpoint", "mlk_wrong")
    with Store(place, keys=keys) as again:
        found = {(one.who, one.what, one.uses) for one in usage(again)}
        assert verify_access(again) == 3
    assert found == {("mary", "GET /log/checkpoint", 1), (NOBODY, "GET /log/checkpoint", 2)}


def test_a_local_server_notes_nothing(sqlite_store: Store) -> None:
    sqlite_store.add(some_crystals(3, 5))
    place, keys = sqlite_store.place, sqlite_store.keys
    with serving(create_app(sqlite_store)) as url:
        ask(f"{url}/log/checkpoint")
    with Store(place, keys=keys) as again:
        assert usage(again) == []


def test_noting_a_use_does_not_wait_for_the_database(sqlite_store: Store) -> None:
    sqlite_store.add(some_crystals(3, 5))
    log = AccessLog(sqlite_store, lambda _: "mary")
    start = time.perf_counter()
    for _ in range(2000):
        log.note("Bearer x", "GET /x", 200)
    seconds = time.perf_counter() - start
    log.close()
    assert verify_access(sqlite_store) == 2000
    assert seconds < 1.0


def test_uses_beyond_what_can_wait_are_counted(
    sqlite_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from materialabs.store import access_log

    monkeypatch.setattr(access_log, "MOST_WAITING", 5)
    sqlite_store.add(some_crystals(3, 5))
    with AccessLog(sqlite_store, lambda _: "mary") as log:
        for _ in range(9):
            log.note("Bearer x", "GET /x", 200)
    assert "4 uses came too fast to be written" in [one.what for one in usage(sqlite_store)]
