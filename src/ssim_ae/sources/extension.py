"""What the sources add to the server: they run beside it, with a page and an API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

from ssim_ae.pages.page import render_page
from ssim_ae.server.extension import Extension
from ssim_ae.server.inspector import Inspector
from ssim_ae.sources.camera_source import CameraSource
from ssim_ae.sources.cameras import check_video
from ssim_ae.sources.metrics import SourceMetrics
from ssim_ae.sources.routes import api_of
from ssim_ae.sources.settings import SourceSettings

TITLE = "Live"
PATH = "/live"


def sources_of(settings: Sequence[SourceSettings]) -> Extension:
    """Return the page Live, the API of these sources, and what runs them."""
    if any(source.kind == "genicam" for source in settings):
        import harvesters  # noqa: F401  # if it is missing, this is said now
    for source in settings:
        if source.kind == "video":
            check_video(source)
    sources: dict[str, CameraSource] = {}

    @contextmanager
    def run(inspector: Inspector) -> Iterator[None]:
        metrics = SourceMetrics(inspector.metrics.registry)
        with ExitStack() as running:
            for source in settings:
                sources[source.name] = running.enter_context(CameraSource(source, inspector, metrics))
            try:
                yield
            finally:
                for camera in sources.values():
                    camera.stop()  # all at once, before each is waited for

    html = partial(render_page, "sources", TITLE, {}, ("pages/api.js", "live.js"), ("live.css",))
    return Extension(TITLE, PATH, html, api_of(sources), run=run)
