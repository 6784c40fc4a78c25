"""What another package adds to the server: a page, and an API for it."""

from collections.abc import Sequence
from typing import NamedTuple

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from prometheus_client.registry import Collector

from ssim_ae.server.roles import RoleRouters


class Extension(NamedTuple):
    """A page with its title, path and HTML, which the inspection page links to, and routes by the role they need.

    `collectors` are added to the server's metrics.
    """

    title: str
    path: str
    html: str
    api: RoleRouters
    collectors: Sequence[Collector] = ()

    def page_router(self) -> APIRouter:
        """Return the route of the page."""
        router = APIRouter()

        @router.get(self.path, include_in_schema=False)
        async def page() -> HTMLResponse:
            return HTMLResponse(self.html)

        return router
