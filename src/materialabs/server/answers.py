"""The frame of every OPTIMADE answer: data, links, meta, errors."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import JSONResponse

from materialabs import __version__
from materialabs.store.filters.fields import PREFIX

API_VERSION: Final = "1.2.0"
"""Of OPTIMADE."""

ROOT: Final = "/optimade"
"""Path of the unversioned base URL."""

BASES: Final = (ROOT, f"{ROOT}/v1", f"{ROOT}/v1.2", f"{ROOT}/v1.2.0")
"""Paths that the API is served at."""

SCHEMA: Final = "https://schemas.optimade.org/openapi/v1.2/optimade.json"
"""The published schema that answers follow."""

TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    406: "Not Acceptable",
    409: "Conflict",
    413: "Content Too Large",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    553: "Version Not Supported",
}


@dataclass(frozen=True)
class Count:
    """How many entries there are, and whether more follow."""

    returned: int
    available: int
    more: bool = False


def base_url(request: Request) -> str:
    """The unversioned base URL as the client wrote it."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}{ROOT}"


def meta(
    request: Request, count: Count | None = None, warnings: list[str] | None = None
) -> dict[str, Any]:
    """The ``meta`` member of an answer."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    for base in sorted(BASES, key=len, reverse=True):
        if path.startswith(base):
            path = path.removeprefix(base)
            break
    query = f"?{request.url.query}" if request.url.query else ""
    document: dict[str, Any] = {
        "query": {"representation": path + query},
        "api_version": API_VERSION,
        "schema": SCHEMA,
        "more_data_available": count.more if count else False,
        "time_stamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "provider": {
            "name": "materialabs",
            "description": "A materialabs store",
            "prefix": PREFIX.strip("_"),
        },
        "implementation": {"name": "materialabs", "version": __version__},
    }
    if count is not None:
        document |= {"data_returned": count.returned, "data_available": count.available}
    if warnings:
        document["warnings"] = [
            {"type": "warning", "title": "Unknown property", "detail": text} for text in warnings
        ]
    return document


def answer(
    request: Request,
    data: Any,
    count: Count | None = None,
    *,
    following: str | None = None,
    warnings: list[str] | None = None,
) -> JSONResponse:
    """A whole answer."""
    links = {"base_url": base_url(request), "next": following}
    return JSONResponse(
        {"data": data, "links": links, "meta": meta(request, count, warnings)},
        media_type="application/vnd.api+json",
    )


def failure(request: Request, status: int, detail: str) -> JSONResponse:
    """An answer that says what went wrong."""
    title = TITLES.get(status, "Error")
    errors = [{"status": str(status), "title": title, "detail": detail}]
    return JSONResponse(
        {"errors": errors, "meta": meta(request)},
        status_code=status,
        media_type="application/vnd.api+json",
    )


def next_link(request: Request, cursor: str | None) -> str | None:
    """The address of the next page."""
    if cursor is None:
        return None
    parameters = [
        (name, value) for name, value in request.query_params.multi_items() if name != "page_cursor"
    ]
    url = request.url
    return f"{url.scheme}://{url.netloc}{url.path}?" + urlencode(
        [*parameters, ("page_cursor", cursor)]
    )
