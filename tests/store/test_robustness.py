"""A store survives kill -9, many writers, full disks and wrong places."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from materialabs.errors import InputError, IntegrityError, MaterialabsError, ResourceError
from materialabs.store import database
from materialabs.store.database import file_system
from materialabs.store.store import Store
from tests.store.made_crystals import made_crystals, made_properties, write_files
from tests.store.wholeness import assert_whole

COMMAND = "from materialabs.cli import main; main()"
WRITERS = 8
KILL_SECONDS = 600
"""In which an ingest must come as far as it is killed, on a busy machine."""

FIRST_SECONDS = 0.5
"""That the first transaction may take."""

START_SECONDS = 120
"""In which a started program must have made its store, on a busy machine."""

LATEST = 0.85
"""Share of an ingest behind which it is killed at the latest, so that it is not through by then."""

MOST_MISSED = 10
"""Kills that may come when the ingest is through already, and are made again."""


def environment(keys: Path) -> dict[str, str]:
    return {**os.environ, "MATERIALABS_KEYS": str(keys), "MATERIALABS_PROGRESS": "false"}


def ingest(place: Path, keys: Path, files: Path, **options: object) -> subprocess.Popen[str]:
    """``materialabs ingest`` as a process of its own."""
    call = ["ingest", str(files), "--store", str(place), "--method", "dft", "--level", "MP2020"]
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *call], env=environment(keys), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def complete(place: Path, keys: Path, files: Path) -> None:
    """Run an ingest to its end."""
    with ingest(place, keys, files) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors


def stored(place: Path) -> int:
    """Records that are in a store while another program fills it."""
    try:
        connection = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
        try:
            return int(connection.execute("SELECT max(id) FROM records").fetchone()[0] or 0)
        finally:
            connection.close()
    except sqlite3.OperationalError:  # not made yet
        return 0


def killed_behind(
    process: subprocess.Popen[str], place: Path, reached: int, source: random.Random
) -> bool:
    """Kill an ingest behind so many records, at a random moment of what it does then.

    That is within a transaction's time, as long as the last one took, from when the store was seen
    to have grown. False when the ingest was through before.
    """
    end = time.monotonic() + KILL_SECONDS
    interval, last = FIRST_SECONDS, -1
    grown: float | None = None
    while last < reached and process.poll() is None and time.monotonic() < end:
        found = stored(place)
        if found > last > -1:
            now = time.monotonic()
            interval = FIRST_SECONDS if grown is None else now - grown
            grown = now
        last = max(last, found)
        time.sleep(0.002)
    time.sleep(source.uniform(0, interval))
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode in (0, -signal.SIGKILL)
    return process.returncode != 0


def kill_and_complete(folder: Path, count: int, kills: int, files: int) -> None:
    """Kill an ingest again and again, at moments spread over all of it, then let it finish.

    Where it is through before the kill (a fast machine, or all that is left fits into one
    transaction), the store is put away and the next begins, until all kills were made.
    """
    source = random.Random(count)
    write_files(folder / "files", count, files)
    place, before = folder / "killed.db", 0
    targets = [0, *sorted(source.randrange(int(LATEST * count)) for _ in range(kills - 1))]
    for run in range(kills + MOST_MISSED):
        if not targets:
            break
        target = max(targets[0], before + 1) if before else targets[0]
        with ingest(place, folder / "keys", folder / "files") as process:
            if not before:
                await_file(place)
            killed = killed_behind(process, place, target, source)
        after = 0
        if place.exists():
            after = assert_whole(place, folder / "keys", everything=False)
        assert before <= after <= count
        if killed:
            del targets[0]
        if after == count:
            place, after = folder / f"killed{run}.db", 0
        before = after
    assert not targets, "the ingest was through before the kill, too often"
    complete(place, folder / "keys", folder / "files")
    assert assert_whole(place, folder / "keys") == count


def await_file(place: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while not place.exists() and time.monotonic() < end:
        time.sleep(0.001)


def test_a_killed_ingest_leaves_nothing_half_there_and_is_completed_by_the_same_line(
    tmp_path: Path,
) -> None:
    kill_and_complete(tmp_path, 1_000, 3, 10)


@pytest.mark.slow
def test_an_ingest_of_ten_thousand_survives_ten_kills(tmp_path: Path) -> None:
    kill_and_complete(tmp_path, 10_000, 10, 20)


@pytest.mark.full
def test_an_ingest_of_a_hundred_thousand_survives_ten_kills(tmp_path: Path) -> None:
    kill_and_complete(tmp_path, 100_000, 10, 50)


WRITE = """
import sys
from pathlib import Path
from materialabs.store.store import Store
from tests.store.made_crystals import made_crystals, made_properties
place, keys, seed, count, parts = sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:])
with Store(place, keys=keys) as store:
    for part in range(parts):
        own = made_crystals(count, 100 * seed + part)
        store.add(own, made_properties(count, seed))
        store.add(made_crystals(count, 9_999), made_properties(count, 9_999))
"""


def write_at_once(place: str, keys: Path, count: int, parts: int) -> list[str]:
    """Eight processes that write crystals of their own and the same common ones; what they say."""

    def run(seed: int) -> str:
        done = subprocess.run(
            [sys.executable, "-c", WRITE, place, str(keys), str(seed), str(count), str(parts)],
            capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
        )  # fmt: skip
        return done.stderr

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(run, range(WRITERS)))


def assert_all_written(place: str, keys: Path, count: int, parts: int) -> None:
    said = write_at_once(place, keys, count, parts)
    assert said == [""] * WRITERS
    assert assert_whole(place, keys, values=2) == WRITERS * count * parts + count


def test_eight_writers_at_once_lose_nothing_on_sqlite(tmp_path: Path) -> None:
    assert_all_written(str(tmp_path / "lab.db"), tmp_path / "keys", 20, 5)


@pytest.mark.slow
def test_eight_writers_at_once_lose_nothing_on_postgresql(
    postgres_url: str, tmp_path: Path
) -> None:
    name = "lab_" + os.urandom(6).hex()
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    url = postgres_url.rsplit("/", 1)[0] + "/" + name
    assert_all_written(url, tmp_path / "keys", 20, 5)


@pytest.mark.slow
def test_eight_busy_writers_lose_nothing_on_sqlite(tmp_path: Path) -> None:
    assert_all_written(str(tmp_path / "lab.db"), tmp_path / "keys", 100, 10)


SMALL_DISK = 1_000_000
"""Bytes that a file may have in the test of a full disk."""


def limit_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, SMALL_DISK))


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    write_files(tmp_path / "files", 2_000, 8)
    place, keys = tmp_path / "lab.db", tmp_path / "keys"
    with Store(place, keys=keys) as store:
        store.add(made_crystals(50, 7), [one[:1] for one in made_properties(50, 7)])
    with ingest(place, keys, tmp_path / "files", preexec_fn=limit_files) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.startswith("materialabs: ")
    assert said.count("\n") == 1
    assert "disk" in said
    assert assert_whole(place, keys) >= 50
    complete(place, keys, tmp_path / "files")
    assert assert_whole(place, keys) == 2_050


def test_a_file_of_something_else_is_refused_in_one_sentence(tmp_path: Path) -> None:
    place = tmp_path / "noise.db"
    noise = random.Random(1).randbytes(10_000)
    place.write_bytes(noise)
    with pytest.raises(IntegrityError, match=r"^.*noise.db is not a store: .*$"):
        Store(place)
    assert place.read_bytes() == noise


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "other.db"
    with sqlite3.connect(place) as connection:
        connection.execute("CREATE TABLE records (id INTEGER, name TEXT)")
    connection.close()
    with pytest.raises(IntegrityError, match="not a store's"):
        Store(place)
    with sqlite3.connect(place) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
    connection.close()
    assert tables == [("records",)]


def test_a_folder_is_refused_as_a_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        Store(tmp_path)


def test_a_store_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make it first"):
        Store(tmp_path / "absent" / "lab.db")


def test_an_address_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="not mysql://"):
        Store("mysql://somewhere/lab")


READ_ONLY = """
import os, sys
from materialabs.errors import ResourceError
from materialabs.store.store import Store
Store(sys.argv[2]).close()  # imports all that is needed before the rights are given up
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    Store(sys.argv[1])
except ResourceError as error:
    print(error)
"""


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that other users reach."""
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder.stat().st_uid == os.geteuid() and folder != Path("/"):
            folder.chmod(0o755)
    return tmp_path


def test_a_file_that_may_not_be_written_is_refused_in_one_sentence(open_folder: Path) -> None:
    place = open_folder / "lab.db"
    with Store(place, keys=open_folder / "keys") as store:
        store.add(made_crystals(2), None)
    place.chmod(0o444)
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY, str(place), str(open_folder / "free.db")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be opened" in done.stdout, done.stderr
    assert done.stdout.count("\n") == 1


def test_a_file_cut_short_is_refused_in_one_sentence(tmp_path: Path) -> None:
    place = tmp_path / "lab.db"
    with Store(place, keys=tmp_path / "keys") as store:
        store.add(made_crystals(200), made_properties(200))
    place.write_bytes(place.read_bytes()[:20_000])
    with pytest.raises(MaterialabsError) as told, Store(place, keys=tmp_path / "keys") as store:
        store.add(made_crystals(200, 1), None)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["nfs4", "lustre", "fuse.sshfs", "beegfs"])
def test_a_network_file_system_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda / ext4 rw 0 0\nserver:/home {tmp_path}/net\\040home {kind} rw\n")
    (tmp_path / "net home").mkdir()
    monkeypatch.setattr(database, "MOUNTS", mounts)
    with pytest.raises(InputError, match=f"network file system .{kind}."):
        Store(tmp_path / "net home" / "lab.db")


def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw\nb /data nfs4 rw\nc /data/local xfs rw\n")
    assert file_system(Path("/data/local/lab.db"), mounts) == "xfs"
    assert file_system(Path("/data/lab.db"), mounts) == "nfs4"
    assert file_system(Path("/database/lab.db"), mounts) == "ext4"
    assert file_system(Path("/data/lab.db"), tmp_path / "absent") == ""


def test_a_locked_store_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0)
    place = tmp_path / "lab.db"
    with Store(place, keys=tmp_path / "keys") as store:
        store.add(made_crystals(2), None)
        other = sqlite3.connect(place, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(ResourceError, match="Another program") as told:
                store.add(made_crystals(2, 1), None)
        finally:
            other.close()
    assert "database is locked" not in str(told.value)
