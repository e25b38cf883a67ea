"""Ask an application in this process as if it stood at an address."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from materialabs.errors import NotFound
from materialabs.store.fetching import RefusedError


class Direct:
    """Fetches from an application in this process."""

    headers: dict[str, str]

    def __init__(self, app: Any) -> None:
        self.app = app
        self.headers = {}

    def __call__(self, url: str, body: bytes | None = None, limit: int = 1 << 25) -> bytes:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport) as client:
                method = "GET" if body is None else "POST"
                headers = {"content-type": "application/json", **self.headers}
                return await client.request(method, url, content=body, headers=headers)

        answer = asyncio.run(ask())
        if answer.status_code == 404:
            raise NotFound(url)
        if answer.status_code >= 400:
            raise RefusedError(answer.text, answer.status_code, answer.content)
        assert len(answer.content) <= limit
        return answer.content
