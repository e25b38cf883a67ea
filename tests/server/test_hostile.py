"""Requests that mean harm get a clean refusal, quickly, and reach no file."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from materialabs.server.app import create_app
from materialabs.server.limits import Limits
from materialabs.store.store import Store
from tests.server.conftest import Node
from tests.store.made_crystals import made_crystals

SOON = 5.0
"""Seconds within which a hostile request is answered, on a busy machine."""

MANY = 10_000
ADDRESS = "/optimade/v1/structures"

HOSTILE = {
    "nested brackets": "(" * MANY + "nsites=1" + ")" * MANY,
    "open brackets": "(" * MANY,
    "many negations": "NOT " * MANY + "nsites=1",
    "many alternatives": " OR ".join(["nsites=1"] * 2_000),
    "many values": "elements HAS ANY " + ",".join(['"Li"'] * 2_000),
    "a null": 'id="a\0b"',
    "an open text": 'id="abc',
    "SQL for a number": "nsites=1; DROP TABLE structures",
    "SQL comment": "nsites=1 --",
    "unicode operator": "nsites ≥ 1",
    "unicode name": "наборов=1",
    "direction marks": "\u202ensites=1",
    "only a backslash": "\\",
    "a huge exponent": "nsites<1e99999",
    "a wide number": "nsites=" + "9" * 5000,
}
STRINGS = [
    "'; DROP TABLE structures; --", "' OR '1'='1", "%", "_", "%s", ":x", "?", "\\\\", "𝔘𝔫𝔦", "a\tb",
    "{0}", "$1", "x' UNION SELECT hash FROM access_keys --",
]  # fmt: skip


def status(node: Node, text: str) -> int:
    """Status of a filter's answer, which must come quickly and say what is wrong."""
    start = time.monotonic()
    answer = httpx.get(node.url + ADDRESS, params={"filter": text}, timeout=60)
    assert time.monotonic() - start < SOON
    if answer.status_code >= 400:
        assert answer.json()["errors"][0]["detail"]
    return answer.status_code


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_filter_is_refused_quickly(name: str, node: Node) -> None:
    assert status(node, HOSTILE[name]) in (400, 501)


@pytest.mark.parametrize("text", STRINGS)
def test_a_text_in_a_filter_is_only_a_text(text: str, node: Node) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for wanted in (f'chemical_formula_reduced="{quoted}"', f'id CONTAINS "{quoted}"'):
        answer = httpx.get(node.url + ADDRESS, params={"filter": wanted}, timeout=60).json()
        assert answer["data"] == []


def test_a_filter_of_a_megabyte_is_refused_quickly(node: Node) -> None:
    start = time.monotonic()
    line = "GET " + ADDRESS + "?filter=" + "(" * 1_000_000 + " HTTP/1.1\r\nHost: x\r\n\r\n"
    with socket.create_connection(("127.0.0.1", node.port), timeout=60) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(line.encode())
        try:
            answer = connection.recv(200)
        except ConnectionError:
            answer = b""
    assert time.monotonic() - start < SOON
    assert answer == b"" or answer.split()[1] in (b"400", b"414", b"431")
    assert status(node, "nsites>0") == 200


def cursor(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "text",
    ["", "x", "²", "٣", cursor("a"), cursor(2**70), cursor(None), cursor(True), cursor([1]),
     cursor(1.5), cursor("a", 1), cursor(2**64, 1), "W10", cursor(float("nan"), 1), "[" * 5000],
)  # fmt: skip
@pytest.mark.parametrize("place", [ADDRESS, "/optimade/v1/references"])
def test_a_forged_page_is_refused(place: str, text: str, node: Node) -> None:
    answer = httpx.get(
        node.url + place, params={"sort": "nsites", "page_cursor": text, "page_limit": 1}
    )
    assert answer.status_code == 400 or (place != ADDRESS and text == "٣")


TRICKS = [
    "/log/tile/../../etc/passwd", "/log/tile/..%2f..%2f..%2fetc%2fpasswd", "/log/tile/%00",
    "/log/tile/0/000%00", "/log/tile//etc/passwd", "/log/tile/0/%2e%2e/%2e%2e/etc/passwd",
    "/log/tile/entries/..\\..\\lab.db", "/log/tile/0/x001/../../../../lab.db", "/log/../lab.db",
    "/log/tile/0/٠٠٠", "/log/tile/9/000", "/log/tile/0/000.p/0", "/log/tile/0/000.p/999",
    "/log/tile/0/x999/x999/x999/x999/x999/x999/999", "/api/v1/crystals/../../lab.db",
    "/api/v1/crystals/%2e%2e%2flab.db", "/api/v1/records/%00", "/api/v1/records/..",
    "/api/v1/proofs/zz", "/api/v1/proofs/" + "0" * 64, "/api/v1/crystals/" + "0" * 64,
    "/static/../lab.db", "/lab.db", "//etc/passwd", "/optimade/v1/../../lab.db",
    "/optimade/v1/info/../../lab.db", "/optimade/v1/info/%2e%2e",
]  # fmt: skip


def raw_get(node: Node, path: str) -> bytes:
    """A request whose path no client has tidied."""
    with socket.create_connection(("127.0.0.1", node.port), timeout=60) as connection:
        head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode())
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize("path", TRICKS)
def test_tricks_in_paths_reach_no_file(path: str, node: Node) -> None:
    answer = raw_get(node, path)
    assert answer.split()[1] in (b"404", b"400"), answer[:300]
    assert b"root:" not in answer
    assert b"SQLite format" not in answer


def test_an_unknown_structure_is_no_error(node: Node) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "%00", "x" * 1000, "🜁"):
        answer = httpx.get(f"{node.url}{ADDRESS}/{name}")
        assert answer.status_code in (200, 404)
        assert answer.json().get("data") is None


def test_no_other_site_may_read_answers(node: Node) -> None:
    answer = httpx.get(node.url + "/optimade/v1/info", headers={"origin": "https://evil.example"})
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_server_listens_on_loopback_only(node: Node) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ports = f":{node.port:04X}"
    found = {line.split()[1] for line in listening
             if line.split()[1].endswith(ports) and line.split()[3] == "0A"}  # fmt: skip
    assert found == {"0100007F" + ports}


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[FastAPI]:
    """A server with narrow limits, in this process."""
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as store:
        store.add(made_crystals(3), None)
        limits = Limits(body_bytes=1000, requests_per_second=1.0, burst=5, crystals=2, page=10)
        yield create_app(store, limits)


def asked(app: FastAPI, paths: list[str]) -> list[httpx.Response]:
    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://node") as client:
            return [await client.get(path) for path in paths]

    return asyncio.run(ask())


def test_a_client_that_asks_too_often_is_told_to_wait(strict: FastAPI) -> None:
    answers = asked(strict, ["/optimade/versions"] * 8)
    assert [one.status_code for one in answers[:5]] == [200] * 5
    assert answers[-1].status_code == 429
    assert int(answers[-1].headers["retry-after"]) >= 1


def test_a_page_larger_than_the_limit_is_refused(strict: FastAPI) -> None:
    assert asked(strict, [ADDRESS + "?page_limit=11"])[0].status_code == 400


def test_an_error_nobody_thought_of_tells_nothing_of_the_inside(
    strict: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret path /home/lab")

    monkeypatch.setattr("materialabs.server.optimade.Results", fail)
    answer = asked(strict, [ADDRESS])[0]
    assert answer.status_code == 500
    assert "secret" not in answer.text


EXAMPLES = 15
EXAMPLES_FULL = 1000


def fuzz(node: Node, examples: int) -> None:
    """Ask everything that the OpenAPI document allows, and much that it does not."""
    import schemathesis

    schema = schemathesis.openapi.from_url(node.url + "/openapi.json")
    asked = 0
    for found in schema.get_all_operations():
        asked += fuzz_operation(found.ok(), node, examples)
    assert asked >= examples


def fuzz_operation(operation: object, node: Node, examples: int) -> int:
    from hypothesis import HealthCheck, Phase, given, settings

    asked = 0

    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        phases=[Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())  # type: ignore[attr-defined]
    def ask(case: object) -> None:
        nonlocal asked
        asked += 1
        answer = case.call(  # type: ignore[attr-defined]
            headers={"authorization": f"Bearer {node.write_key}"}, timeout=60
        )
        assert answer.status_code < 500 or answer.status_code in (501, 553), answer.content

    ask()
    return asked


def test_nothing_that_the_openapi_document_allows_is_an_error_of_the_server(node: Node) -> None:
    fuzz(node, EXAMPLES)


@pytest.mark.full
def test_a_long_search_finds_no_error_of_the_server(node: Node) -> None:
    fuzz(node, EXAMPLES_FULL)
