"""What another package adds to the server: a page, and an API for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from prometheus_client.registry import Collector

from ssim_ae.server.roles import RoleRouters

if TYPE_CHECKING:
    from ssim_ae.server.inspector import Inspector


class Extension(NamedTuple):
    """A page with its title and path, which the other pages link to, and routes by the role they need.

    `html` returns the page, given the paths of all pages of the server by their titles. `collectors` are added to the
    server's metrics. `run` returns a context manager that is open while the server runs, for work with its inspector.
    """

    title: str
    path: str
    html: Callable[[Mapping[str, str]], str]
    api: RoleRouters
    collectors: Sequence[Collector] = ()
    run: Callable[[Inspector], AbstractContextManager[None]] | None = None

    def page_router(self, site: Mapping[str, str]) -> APIRouter:
        """Return the route of the page; `site` are the paths of all pages of the server by their titles."""
        router, html = APIRouter(), self.html(site)

        @router.get(self.path, include_in_schema=False)
        async def page() -> HTMLResponse:
            return HTMLResponse(html)

        return router
