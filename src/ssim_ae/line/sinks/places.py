"""Finds the sink that a URL names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ssim_ae.errors import InputError
from ssim_ae.line.sinks.sink import Sink, place_of

FORMS = "https://HOST/PATH, http://HOST/PATH"


def sinks_of(urls: Sequence[str]) -> list[Sink]:
    """Return the sinks that URLs name. Raises InputError if one is not valid, or named twice."""
    found = [_sink_of(url) for url in urls]
    for name, count in Counter(sink.name for sink in found).items():
        if count > 1:
            raise InputError(f"--sink: {name}: named twice; name each place once")
    return found


def _sink_of(url: str) -> Sink:
    scheme = url.partition(":")[0]
    if scheme in ("http", "https"):
        from ssim_ae.line.sinks.webhook import Webhook

        return Webhook(place_of(url, 443 if scheme == "https" else 80))
    raise InputError(f"--sink: {url}: not the URL of a sink; give one of {FORMS}")
