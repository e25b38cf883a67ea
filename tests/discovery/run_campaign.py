"""A campaign as a program of its own, so that it can be killed: STORE KEYS BUDGET [OPTION...]."""

from __future__ import annotations

import sys
from pathlib import Path

from materialabs.discovery.bench import Leasing
from materialabs.discovery.campaign import discover
from materialabs.discovery.worker import work
from materialabs.oracles.relaxation import THOROUGH, RelaxationSettings
from materialabs.store.store import Store


def main(place: str, keys: str, budget: str, *options: str) -> None:
    given = dict(option.split("=", 1) for option in options if "=" in option)
    name = f"python:tests.discovery.logged_emt:{given.get('oracle', 'logged_emt')}"
    deterministic = "deterministic" in options
    together = int(given.get("together", 1 if deterministic else 4))
    seconds = float(given.get("lease", 60.0))
    closely = THOROUGH if "thorough" in options else RelaxationSettings()
    leasing = Leasing(seconds=seconds, together=together, from_saved_states=not deterministic)
    with Store(place, keys=Path(keys)) as store:
        if "worker" in options:
            print(work(store, oracle=name, idle_seconds=20.0, leasing=leasing))
            return
        campaign = discover(
            "Cu-Au", budget, store, oracle=name, model="campaign", deterministic=deterministic,
            leasing=leasing, batch=int(given.get("batch", 6)), settings=closely,
        )  # fmt: skip
        print(campaign)


if __name__ == "__main__":
    main(*sys.argv[1:])
