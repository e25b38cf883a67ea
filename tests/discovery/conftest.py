"""A finished campaign to look at, and stores to run others in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from materialabs.discovery import Campaign, discover
from materialabs.oracles.calculators import AseOracle
from materialabs.store.store import Store
from tests.store.conftest import (  # noqa: F401 - fixtures
    keys,
    postgres_store,
    postgres_url,
    sqlite_store,
    store,
)

BUDGET, BATCH = 14, 5


@pytest.fixture(scope="session")
def emt() -> AseOracle:
    """ASE's effective medium potential, which knows Al, Cu, Ag, Au, Ni, Pd and Pt."""
    return AseOracle("emt")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, emt: AseOracle) -> Iterator[Campaign]:
    """A whole campaign in Cu-Au by a real potential, for tests that only look."""
    folder = tmp_path_factory.mktemp("campaign")
    with Store(folder / "lab.db", keys=folder / "keys") as opened:
        yield discover("Cu-Au", BUDGET, opened, oracle=emt, model="campaign", batch=BATCH)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    with Store(tmp_path / "lab.db", keys=tmp_path / "keys") as opened:
        yield opened
