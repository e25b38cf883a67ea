"""What other servers may do to a fetch, and how other nodes' answers are read."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from materialabs.errors import ExternalError, IntegrityError, NotFound
from materialabs.ledger.tiles import Tile
from materialabs.store.evidence import Evidence, described, read_evidence, write_evidence
from materialabs.store.fetching import Fetcher, RefusedError
from materialabs.store.node import (
    Node,
    NodeHashes,
    TooMuchError,
    gather,
    pack_contents,
    unpack_contents,
)

Answer = tuple[int, dict[str, str], bytes]


class Odd(HTTPServer):
    """Answers in turn with what a test has put down."""

    answers: list[Answer]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/x"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Odd)
        answers = self.server.answers
        status, headers, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def odd() -> Iterator[Odd]:
    server = Odd(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_busy_server_is_asked_again_after_the_pause_that_it_names(odd: Odd) -> None:
    odd.answers = [(503, {"retry-after": "7"}, b""), (429, {}, b""), (200, {}, b"well")]
    pauses: list[float] = []
    assert Fetcher(sleep=pauses.append)(odd.url) == b"well"
    assert pauses == [7.0, 1.0]


def test_a_server_cannot_ask_for_an_endless_pause(odd: Odd) -> None:
    odd.answers = [(503, {"retry-after": "999999"}, b""), (200, {}, b"well")]
    pauses: list[float] = []
    Fetcher(sleep=pauses.append)(odd.url)
    assert pauses == [60.0]


def test_a_refusal_says_what_the_server_said(odd: Odd) -> None:
    odd.answers = [(409, {}, b"41")]
    with pytest.raises(RefusedError) as caught:
        Fetcher()(odd.url)
    assert (caught.value.status, caught.value.body) == (409, b"41")


def test_what_is_not_there_is_not_found(odd: Odd) -> None:
    odd.answers = [(404, {}, b"")]
    with pytest.raises(NotFound):
        Fetcher()(odd.url)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_no_redirection_leaves_the_web(odd: Odd, target: str) -> None:
    odd.answers = [(302, {"location": target}, b"")]
    with pytest.raises(ExternalError):
        Fetcher(attempts=1)(odd.url)


def test_an_answer_that_ends_early_is_asked_for_again(odd: Odd) -> None:
    odd.answers = [(200, {"content-length": "100"}, b"half"), (200, {}, b"whole")]
    assert Fetcher(sleep=lambda _: None)(odd.url) == b"whole"


def test_an_answer_that_drips_is_given_up(odd: Odd) -> None:
    odd.answers = [(200, {}, b"x" * 100)]
    with pytest.raises(ExternalError, match="more than -1 seconds"):
        Fetcher(deadline=-1.0)(odd.url)


def test_an_answer_with_contents_that_is_cut_short_is_refused() -> None:
    packed = pack_contents([(bytes(32), b"content")])
    for length in range(1, len(packed)):
        with pytest.raises(ExternalError, match="cut short"):
            list(unpack_contents(packed[:length]))


def answering(answer: Callable[[str], bytes]) -> Node:
    def fetch(url: str, body: bytes | None = None, limit: int = 0) -> bytes:
        return answer(url)

    return Node("http://node", fetch)


def test_more_than_can_be_held_is_refused() -> None:
    node = answering(lambda _: pack_contents([(bytes(32), bytes(1000))]))
    with pytest.raises(TooMuchError):
        gather([node], [bytes(32)], 999)


def test_what_was_not_asked_for_is_not_taken() -> None:
    name = hashlib.sha256(b"other").digest()
    node = answering(lambda _: pack_contents([(name, b"other")]))
    assert gather([node], [bytes(32)], 999) == {}


def test_a_node_that_fails_is_passed_over() -> None:
    def fail(url: str) -> bytes:
        raise ExternalError("silent")

    name = hashlib.sha256(b"content").digest()
    good = answering(lambda _: pack_contents([(name, b"content")]))
    assert gather([answering(fail), good], [name], 999) == {name: b"content"}


def test_the_full_tile_serves_where_the_partial_one_is_gone() -> None:
    def answer(url: str) -> bytes:
        if ".p/" in url:
            raise NotFound("gone")
        return bytes(256 * 32)

    assert answering(answer).hashes(0, 0, 7) == [bytes(32)] * 7


def test_a_tile_that_is_gone_is_not_found() -> None:
    def answer(url: str) -> bytes:
        raise NotFound(url)

    with pytest.raises(NotFound, match=Tile(0, 3).path):
        answering(answer).hashes(0, 3, 256)


def test_few_tiles_are_held_at_once() -> None:
    node = answering(lambda _: bytes(256 * 32))
    for number in range(200):
        node.hashes(0, number, 256)
    assert len(node._tiles) == 64


def test_no_hashes_lie_behind_the_end_of_a_tree() -> None:
    node = answering(lambda _: bytes(256 * 32))
    assert len(NodeHashes(node, 300).read(0, 250, 700)) == 50


def test_evidence_keeps_its_form() -> None:
    kept = [Evidence("forked", "two pasts", believed="a", shown="b", index=3)]
    assert read_evidence(write_evidence(kept)) == kept


def test_old_evidence_makes_room_for_new() -> None:
    kept = [Evidence("damaged", str(number)) for number in range(150)]
    assert read_evidence(write_evidence(kept)) == kept[50:]


def test_damaged_evidence_is_said_to_be_so() -> None:
    with pytest.raises(IntegrityError):
        read_evidence("[{}]")


def test_bytes_that_are_no_entry_are_described_as_such() -> None:
    assert described(b"x") == "bytes that are no entry"
