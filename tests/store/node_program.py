"""A node in a process of its own: ``python -m tests.store.node_program PORT SHOWN NAME=DB ...``.

It serves the store whose name stands in the file SHOWN at the moment of each request, so that a
test can make it tell another story at the same address.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import uvicorn

from materialabs.server.app import create_app
from materialabs.store.store import Store


def main(port: int, shown: Path, places: dict[str, Path]) -> None:
    apps = {
        name: create_app(Store(place, keys=place.parent / "keys")) for name, place in places.items()
    }

    async def chosen(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await apps[next(iter(apps))](scope, receive, send)
            return
        await apps[shown.read_text().strip()](scope, receive, send)

    uvicorn.run(chosen, host="127.0.0.1", port=port, log_level="error", access_log=False)


if __name__ == "__main__":
    main(
        int(sys.argv[1]),
        Path(sys.argv[2]),
        {name: Path(place) for name, place in (text.split("=", 1) for text in sys.argv[3:])},
    )
