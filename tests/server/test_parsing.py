"""Uploads are parsed in processes that a clock stops."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from materialabs.crystals.batch import Crystals
from materialabs.crystals.blobs import to_blobs
from materialabs.errors import InputError, IntegrityError, ResourceError
from materialabs.ledger.entries import record_entry
from materialabs.ledger.keys import ContributorKey
from materialabs.server.app import create_app
from materialabs.server.limits import Limits
from materialabs.server.parsing import ParsingPool, SlowError
from materialabs.store.client import upload_body
from materialabs.store.observations import records_of
from materialabs.store.store import Store
from materialabs.store.upload import Upload, prepared_contents
from tests.server.conftest import Node, made_node
from tests.store.made_crystals import made_crystals, made_properties

PATIENT_SECONDS = 120.0
KEY = ContributorKey.new("visitor")


def upload_of(crystals: Crystals) -> Upload:
    records = records_of(crystals, [()] * len(crystals))
    leaves = [record_entry(record.id, KEY).to_leaf() for record in records]
    return Upload([one.document() for one in records], leaves, to_blobs(crystals))


def slow_crystals(count: int) -> Crystals:
    """Disordered heaps of a thousand atoms: their symmetry takes long to find."""
    source = np.random.default_rng(1)
    return Crystals(
        np.tile(np.eye(3) * 25, (count, 1, 1)),
        source.uniform(size=(1000 * count, 3)).round(6),
        np.full(1000 * count, 14, np.uint8),
        np.arange(count + 1) * 1000,
        np.ones((count, 3), bool),
    )


@pytest.fixture
def pool() -> Iterator[ParsingPool]:
    made = ParsingPool(PATIENT_SECONDS, 1)
    yield made
    made.close()


def test_a_process_derives_what_this_one_does(pool: ParsingPool) -> None:
    upload = upload_of(made_crystals(20))
    assert pool.contents(upload) == prepared_contents(upload)
    assert pool.contents(Upload([], [], [])) is None


def test_what_is_wrong_comes_back_as_the_same_error(pool: ParsingPool) -> None:
    good = upload_of(made_crystals(2))
    with pytest.raises(IntegrityError) as told:
        pool.contents(Upload(good.records, good.leaves, [b"no crystal"]))
    with pytest.raises(IntegrityError) as here:
        prepared_contents(Upload(good.records, good.leaves, [b"no crystal"]))
    assert (str(told.value), told.value.code) == (str(here.value), here.value.code)
    with pytest.raises(InputError, match="cannot be read"):
        pool.contents(Upload([{"v": 1, "colour": "red"}], good.leaves[:1], []))
    assert pool.contents(good) == prepared_contents(good)


def test_an_upload_that_takes_too_long_is_stopped_and_the_next_is_read() -> None:
    pool = ParsingPool(PATIENT_SECONDS, 1)
    small = upload_of(made_crystals(3))
    pool.contents(small)
    pool.seconds = 0.3
    start = time.monotonic()
    with pytest.raises(SlowError, match=r"longer than 0\.3 s"):
        pool.contents(upload_of(slow_crystals(40)))
    assert time.monotonic() - start < 10
    pool.seconds = PATIENT_SECONDS
    assert pool.contents(small) == prepared_contents(small)
    pool.close()


def test_a_process_that_dies_is_replaced(pool: ParsingPool) -> None:
    small = upload_of(made_crystals(3))
    pool.contents(small)
    worker = pool._idle.queue[0]
    assert worker is not None
    os.kill(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    with pytest.raises(ResourceError, match="send it again"):
        pool.contents(small)
    assert pool.contents(small) == prepared_contents(small)


def test_too_many_uploads_at_once_are_told_to_come_again(pool: ParsingPool) -> None:
    pool.contents(upload_of(made_crystals(1)))
    busy = pool._idle.get()
    pool.seconds = 0.1
    with pytest.raises(ResourceError, match="in a while"):
        pool.contents(upload_of(made_crystals(1)))
    pool._idle.put(busy)


def test_the_processes_end_with_the_pool() -> None:
    pool = ParsingPool(PATIENT_SECONDS, 2)
    pool.contents(upload_of(made_crystals(1)))
    workers = [worker for worker in pool._idle.queue if worker is not None]
    pool.close()
    assert [worker.process.poll() for worker in workers] == [0]


def test_a_slow_upload_is_413_stores_nothing_and_keeps_nobody_waiting(
    tmp_path: Path,
) -> None:
    node = made_node(tmp_path)
    crystals = slow_crystals(100)
    records = records_of(crystals, [()] * len(crystals))
    body = upload_body(records, node.contributor, crystals=crystals)
    head = {"authorization": f"Bearer {node.write_key}", "content-type": "application/json"}
    quick = made_crystals(2, 7)
    small = upload_body(records_of(quick, made_properties(2, 7)), node.contributor, crystals=quick)
    app = create_app(Store(node.place, keys=node.keys), Limits(parse_seconds=1.0))

    async def talk() -> tuple[list[httpx.Response], bool]:
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://node", headers=head) as client,
        ):
            told = [await client.post("/api/v1/records", content=small)]
            told.append(await client.get("/log/checkpoint"))
            slow = asyncio.create_task(client.post("/api/v1/records", content=body))
            await asyncio.sleep(0.2)
            told.append(await client.get("/optimade/v1/structures?page_limit=1"))
            waiting = not slow.done()
            return [*told, await slow, await client.get("/log/checkpoint")], waiting

    (first, before, list_, refused, after), waiting = asyncio.run(talk())
    assert (first.status_code, list_.status_code, refused.status_code) == (201, 200, 413)
    assert waiting
    assert "longer than" in refused.json()["errors"][0]["detail"]
    assert before.text == after.text


def test_no_process_outlives_a_killed_server(own_node: Node) -> None:
    crystals = made_crystals(2, 8)
    records = records_of(crystals, made_properties(2, 8))
    body = upload_body(records, own_node.contributor, crystals=crystals)
    head = {"authorization": f"Bearer {own_node.write_key}", "content-type": "application/json"}
    answer = httpx.post(
        own_node.url + "/api/v1/records", content=body, headers=head, timeout=PATIENT_SECONDS
    )
    assert answer.status_code == 201
    assert own_node.process is not None
    children = child_processes(own_node.process.pid)
    assert children
    own_node.stop(signal.SIGKILL)
    end = time.monotonic() + 30
    while any(is_alive(child) for child in children) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(is_alive(child) for child in children)


def child_processes(parent: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        if int(text.rpartition(")")[2].split()[1]) == parent:
            found.append(int(stat.parent.name))
    return found


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
