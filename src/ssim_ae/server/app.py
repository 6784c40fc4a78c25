"""The HTTP application: the routes, and what stands before them."""

import hmac
from collections.abc import Sequence
from importlib.metadata import version
from queue import Full
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from ssim_ae.errors import InputError
from ssim_ae.server.folder_watcher import FolderWatcher
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.limits import BodyLimit, Deadline, Paced
from ssim_ae.server.metrics import CountRequests
from ssim_ae.server.routes import RETRY_SECONDS, api, problems, service


def create_app(
    inspector: Inspector,
    *,
    watch: FolderWatcher | None = None,
    token: str | None = None,
    hosts: Sequence[str] | None = None,
) -> FastAPI:
    """Return the application that answers with an open inspector, within its limits.

    `token`: who asks has to give it. `hosts`: the names, without port, under which the server may be asked; None: any.
    """
    app = FastAPI(
        title="SSIM-AE",
        summary="Visual defect detection: images in; scores, verdicts, boxes and masks out.",
        version=version("ssim-ae"),
        docs_url=None,  # these load from elsewhere
        redoc_url=None,
    )
    app.state.inspector, app.state.watch, app.state.token = inspector, watch, token
    if token:
        app.include_router(api, dependencies=[Depends(_check_token)], responses=problems(401))
    else:
        app.include_router(api)
    app.include_router(service)
    app.add_middleware(BodyLimit, max_bytes=inspector.limits.max_bytes)
    app.add_middleware(Deadline, seconds=inspector.limits.seconds)
    app.add_middleware(Paced)
    if hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)
    app.add_middleware(CountRequests, metrics=inspector.metrics)  # the last added comes first
    app.add_exception_handler(InputError, _bad_image)
    app.add_exception_handler(Full, _full)
    app.add_exception_handler(RequestValidationError, _bad_parameter)
    app.add_exception_handler(ClientDisconnect, _gone)
    return app


async def _check_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))]
) -> None:
    token = given.credentials if given else ""
    if not hmac.compare_digest(token.encode(), request.app.state.token.encode()):
        raise HTTPException(401, "a token is needed", {"WWW-Authenticate": "Bearer"})


async def _bad_image(_request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 400)


async def _full(_request: Request, _error: Exception) -> JSONResponse:
    detail = "too many images at once; try again"
    return JSONResponse({"detail": detail}, 429, {"Retry-After": str(RETRY_SECONDS)})


async def _bad_parameter(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    detail = "; ".join(f"{fault['loc'][1]}: {fault['msg']}" for fault in error.errors())
    return JSONResponse({"detail": detail}, 422)


async def _gone(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "the body ended early"}, 400)
