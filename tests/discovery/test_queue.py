"""The queue of relaxations, on both databases."""

from __future__ import annotations

import time

import pytest

from materialabs.store import tasks
from materialabs.store.database import reading, writing
from materialabs.store.store import Store
from materialabs.store.tasks import Wanted
from materialabs.store.verify import verify


@pytest.fixture
def queue(store: Store) -> Store:
    tasks.make_tables(store.engine)
    wanted = [Wanted(f"key{n}", b"crystal", "{}", "{}", "candidate", {}) for n in range(4)]
    with writing(store.engine) as connection:
        tasks.add(connection, "one", 0, wanted)
    return store


def lease(store: Store, owner: str, count: int, seconds: float = 60.0) -> list[str]:
    with writing(store.engine) as connection:
        return [one.key for one in tasks.lease(connection, "one", owner, count, seconds)]


def test_a_task_is_leased_to_one_worker_at_a_time(queue: Store) -> None:
    first, second = lease(queue, "a", 3), lease(queue, "b", 3)
    assert first == ["key0", "key1", "key2"]
    assert second == ["key3"]


def test_a_lease_that_ran_out_goes_to_another(queue: Store) -> None:
    lease(queue, "a", 4, seconds=0.05)
    time.sleep(0.1)
    assert len(lease(queue, "b", 4)) == 4


def test_a_renewed_lease_is_kept(queue: Store) -> None:
    held = lease(queue, "a", 4, seconds=0.2)
    with writing(queue.engine) as connection:
        tasks.renew(connection, "a", held, 60.0)
    time.sleep(0.3)
    assert lease(queue, "b", 4) == []


def test_only_the_first_answer_counts(queue: Store) -> None:
    (key,) = lease(queue, "a", 1)
    with writing(queue.engine) as connection:
        assert tasks.answer(connection, key, {"energy": 1.0}, b"first")
        assert not tasks.answer(connection, key, {"energy": 2.0}, b"second")
    with reading(queue.engine) as connection:
        (row,) = tasks.of_campaign(connection, "one", "answered")
    assert bytes(row.relaxed) == b"first"


def test_an_orderly_end_gives_tasks_back_without_an_attempt(queue: Store) -> None:
    lease(queue, "a", 2)
    with writing(queue.engine) as connection:
        tasks.release(connection, "a")
        (first, *_) = tasks.lease(connection, "one", "b", 1, 60.0)
    assert first.attempts == 1


def test_what_is_done_costs_another_campaign_nothing(queue: Store) -> None:
    (key,) = lease(queue, "a", 1)
    with writing(queue.engine) as connection:
        tasks.finish(connection, key, {}, b"", b"")
        wanted = [Wanted(name, b"", "{}", "{}", "candidate", {}) for name in (key, "fresh")]
        tasks.add(connection, "two", 0, wanted)
    with reading(queue.engine) as connection:
        reused = {row.key: row.reused for row in tasks.of_campaign(connection, "two")}
    assert reused == {key: True, "fresh": False}


def test_states_in_flight_end_with_the_answer(queue: Store) -> None:
    (key,) = lease(queue, "a", 1)
    with writing(queue.engine) as connection:
        tasks.save_states(connection, {key: b"here"})
        assert tasks.read_states(connection, [key]) == {key: b"here"}
        tasks.answer(connection, key, {}, b"")
        assert tasks.read_states(connection, [key]) == {}


def test_the_queue_is_not_part_of_what_is_verified(queue: Store) -> None:
    assert verify(queue, keys=queue.keys, everything=True).good
