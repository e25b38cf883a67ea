"""The application: routes, limits, errors as answers, one line of log for each request."""

from __future__ import annotations

import json
import logging
import re
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from materialabs import __version__
from materialabs.errors import (
    InputError,
    IntegrityError,
    MaterialabsError,
    NotFound,
    PhysicsError,
)
from materialabs.server import optimade, pages, rest
from materialabs.server.access import access_of
from materialabs.server.answers import BASES, ROOT, failure
from materialabs.server.limits import LimitMiddleware, Limits
from materialabs.server.parsing import ParsingPool, SlowError
from materialabs.store.access_log import NOBODY as ANONYMOUS
from materialabs.store.access_log import AccessLog
from materialabs.store.filters.syntax import UnsupportedError
from materialabs.store.store import Store
from materialabs.store.upload import ReplayError

LOGGER: Final = logging.getLogger("materialabs.server")

STATUSES: Final[tuple[tuple[type[MaterialabsError], int], ...]] = (
    (UnsupportedError, 501),
    (rest.AccessError, 401),
    (rest.ScopeError, 403),
    (rest.TooManyError, 413),
    (SlowError, 413),
    (ReplayError, 409),
    (NotFound, 404),
    (InputError, 400),
    (PhysicsError, 400),
    (IntegrityError, 422),
    (MaterialabsError, 503),
)
"""HTTP status of each kind of error; the first that fits counts."""


def create_app(
    store: Store, limits: Limits | None = None, access_log: AccessLog | None = None
) -> FastAPI:
    """The application over a store.

    Parameters
    ----------
    store
        What is served.
    limits
        What one client may ask; moderate by default.
    access_log
        Where uses are written down (:func:`open_access_log`); nowhere by default.
    """
    bounds = limits or Limits()
    pool = ParsingPool(bounds.parse_seconds)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        pool.close()
        if access_log is not None:
            access_log.close()
        store.close()

    app = FastAPI(
        title="materialabs",
        version=__version__,
        description="A materialabs store: OPTIMADE, records, proofs and the log.",
        lifespan=lifespan,
        docs_url=None,  # these would load scripts from elsewhere; pages.py describes the interface
        redoc_url=None,
    )
    entries = optimade.router(store, bounds.page)
    for base in BASES:
        app.include_router(entries, prefix=base, include_in_schema=base == BASES[1])
    app.include_router(rest.router(store, bounds, pool))
    app.add_api_route(f"{ROOT}/{{version}}/{{path:path}}", _other_version, include_in_schema=False)
    web = pages.router(store)
    pages.add_interface(web, app.openapi)
    app.include_router(web)
    _handle_errors(app)
    app.middleware("http")(_log_request)
    if access_log is not None:
        app.middleware("http")(_use_noter(access_log))
    app.add_middleware(LimitMiddleware, limits=bounds)
    return app


def _other_version(request: Request, version: str) -> JSONResponse:
    """Say that a version of OPTIMADE is not served (553), or that there is no such path."""
    served = [base.rsplit("/", 1)[1] for base in BASES[1:]]
    if re.fullmatch(r"v\d+(\.\d+)*", version) and version not in served:
        return failure(request, 553, f"{version} is not served here; {', '.join(served)} are.")
    return failure(request, 404, "There is nothing at this address.")


def _handle_errors(app: FastAPI) -> None:
    """Every error is an answer in the OPTIMADE form."""

    async def ours(request: Request, error: Exception) -> JSONResponse:
        status = next(code for kind, code in STATUSES if isinstance(error, kind))
        return failure(request, status, str(error))

    async def malformed(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return failure(request, 400, f"{place}: {first['msg']}")

    async def http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return failure(request, error.status_code, str(error.detail))

    async def unforeseen(request: Request, error: Exception) -> JSONResponse:
        LOGGER.error(json.dumps({"path": request.url.path, "error": type(error).__name__}))
        return failure(request, 500, "Something went wrong here; it was noted.")

    app.add_exception_handler(MaterialabsError, ours)
    app.add_exception_handler(Exception, unforeseen)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, http)


async def _log_request(
    request: Request, proceed: Callable[[Request], Awaitable[Response]]
) -> Response:
    """One line of JSON: what was asked, the answer, how long it took; no keys, no bodies."""
    start = time.perf_counter()
    response = await proceed(request)
    LOGGER.info(
        json.dumps(
            {
                "method": request.method,
                "path": request.url.path,
                "status": response.status_code,
                "ms": round((time.perf_counter() - start) * 1000, 1),
            }
        )
    )
    return response


def open_access_log(store: Store) -> AccessLog:
    """The second log of a store: who used what, by the names of API keys."""

    def name_of(authorization: str) -> str:
        found = access_of(store.engine, authorization)
        return found.name if found is not None and found.name else ANONYMOUS

    return AccessLog(store, name_of)


def _use_noter(
    access_log: AccessLog,
) -> Callable[[Request, Callable[[Request], Awaitable[Response]]], Awaitable[Response]]:
    """Note each use once it is answered."""

    async def noted(
        request: Request, proceed: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        response = await proceed(request)
        what = f"{request.method} {request.url.path}"
        access_log.note(request.headers.get("authorization", ""), what, response.status_code)
        return response

    return noted


def serve(
    store: Store,
    *,
    host: str = "127.0.0.1",
    port: int = 5000,
    quiet: bool = False,
    access_log: AccessLog | None = None,
) -> None:
    """Serve a store until SIGTERM or Ctrl-C; uploads under way are finished first.

    Parameters
    ----------
    store
        What is served.
    host, port
        Where to listen; loopback unless told otherwise.
    quiet
        Log warnings only.
    access_log
        Where uses are written down (:func:`open_access_log`); nowhere by default.
    """
    import uvicorn

    # uvicorn stops cleanly on SIGTERM and then sends it again: that one ends with exit code 0.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: None)
    logging.basicConfig(format="%(message)s", level=logging.WARNING if quiet else logging.INFO)
    uvicorn.run(
        create_app(store, access_log=access_log), host=host, port=port, log_level="warning",
        access_log=False, timeout_graceful_shutdown=30, proxy_headers=True,
    )  # fmt: skip
