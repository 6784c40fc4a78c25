"""The FastAPI application: routes, middleware, authentication and error handlers."""

from collections.abc import Sequence
from queue import Full
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from ssim_ae import __version__
from ssim_ae.errors import Conflict, InputError
from ssim_ae.server.extension import Extension
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import BackpressureMiddleware, BodyLimitMiddleware, TimeoutMiddleware
from ssim_ae.server.metrics import RequestCountMiddleware
from ssim_ae.server.page import PATH, TITLE
from ssim_ae.server.recorder import RecordError
from ssim_ae.server.roles import Access
from ssim_ae.server.routes import RETRY_SECONDS, api, problem_responses, public_router
from ssim_ae.server.watched_results import WatchedResults


def create_app(
    inspector: Inspector,
    *,
    watched: WatchedResults | None = None,
    tokens: Sequence[Access] = (),
    allowed_hosts: Sequence[str] | None = None,
    extensions: Sequence[Extension] = (),
) -> FastAPI:
    """Return the application that serves an open inspector within its limits.

    With `tokens`, the API requires one of them as a Bearer token, also that of `extensions`, with the role that the
    route needs. `allowed_hosts` are the values of the header Host, without port, that are accepted; None accepts any.
    """
    app = FastAPI(
        title="SSIM-AE",
        summary="Visual defect detection: images in; scores, verdicts, boxes and masks out.",
        version=__version__,
        docs_url=None,  # both pages load scripts from other servers
        redoc_url=None,
    )
    app.state.inspector = inspector
    app.state.watched = watched
    app.state.tokens = tokens
    app.state.site = {TITLE: PATH, **{extension.title: extension.path for extension in extensions}}
    for routers in (api, *(extension.api for extension in extensions)):
        routers.include_in(app, problem_responses(401, 403))
    for extension in extensions:
        app.include_router(extension.page_router(app.state.site))
        for collector in extension.collectors:
            inspector.metrics.registry.register(collector)
    app.include_router(public_router)
    app.add_middleware(BodyLimitMiddleware, max_bytes=inspector.limits.max_bytes)
    app.add_middleware(TimeoutMiddleware, timeout=inspector.limits.timeout)
    app.add_middleware(BackpressureMiddleware)
    if allowed_hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=allowed_hosts, www_redirect=False)
    app.add_middleware(RequestCountMiddleware, metrics=inspector.metrics)  # added last: the outermost
    app.add_exception_handler(InputError, _input_error)
    app.add_exception_handler(Conflict, _conflict)
    app.add_exception_handler(RecordError, _record_error)
    app.add_exception_handler(Full, _queue_full)
    app.add_exception_handler(RequestValidationError, _invalid_parameter)
    app.add_exception_handler(ClientDisconnect, _client_disconnected)
    return app


async def _input_error(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 400)


async def _conflict(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 409)


async def _record_error(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)


async def _queue_full(_request: Request, _error: Exception) -> JSONResponse:
    detail = "server: all queue slots are in use; try again later"
    return JSONResponse({"detail": detail}, 429, {"Retry-After": str(RETRY_SECONDS)})


async def _invalid_parameter(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{_place(fault)}: {fault['msg']}" for fault in error.errors())
    return JSONResponse({"detail": detail}, 422)


def _place(fault: dict[str, Any]) -> str:
    """Return the parameter or the field of the body that is invalid; `body` if it is no valid JSON."""
    place = fault["loc"][:1] if fault["type"] == "json_invalid" else fault["loc"]
    return str(place[1] if len(place) > 1 else place[0])


async def _client_disconnected(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "body: incomplete; send it again"}, 400)
