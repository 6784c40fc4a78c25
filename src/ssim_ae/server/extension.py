"""What another package adds to the server: a page, and an API for it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from ssim_ae.server.inspector import Inspector


class Extension(NamedTuple):
    """A page with its title, path and HTML, which the inspection page links to, and routes that require the token.

    `run` returns a context manager that is open while the server runs, for work with its inspector.
    `metrics` are collectors of more metrics.
    """

    title: str
    path: str
    html: str
    api: APIRouter
    run: Callable[[Inspector], AbstractContextManager[None]] | None = None
    metrics: tuple[Collector, ...] = ()

    def page_router(self) -> APIRouter:
        """Return the route of the page."""
        router = APIRouter()

        @router.get(self.path, include_in_schema=False)
        async def page() -> HTMLResponse:
            return HTMLResponse(self.html)

        return router
