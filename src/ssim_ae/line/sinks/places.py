"""Finds the sink that a URL names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from ssim_ae.errors import InputError
from ssim_ae.line.sinks.sink import Sink, place_of

FORMS = "https://HOST/PATH, http://HOST/PATH, mqtt://HOST/TOPIC, mqtts://HOST/TOPIC, opcua://HOST:PORT, stdout:"
PORTS = {"https": 443, "http": 80, "mqtt": 1883, "mqtts": 8883, "opcua": 4840}  # by default


def sinks_of(urls: Sequence[str], station: str, sources: Sequence[str] = ()) -> list[Sink]:
    """Return the sinks that URLs name, of a station and its sources with names of their own.

    Raises InputError if one is not valid, or named twice.
    """
    found = [_sink_of(url, station, sources) for url in urls]
    for name, count in Counter(sink.name for sink in found).items():
        if count > 1:
            raise InputError(f"--sink: {name}: named twice; name each place once")
    return found


def _sink_of(url: str, station: str, sources: Sequence[str]) -> Sink:
    """Return a sink. What it needs is imported here, if at all."""
    if not re.fullmatch(r"[!-~]+", url):
        raise InputError(f"--sink: {url!a}: not a valid URL; write spaces and other characters as %20")
    if url == "stdout:":
        from ssim_ae.line.sinks.stdout import StandardOutput

        return StandardOutput()
    scheme = url.partition("://")[0]
    if scheme not in PORTS:
        raise InputError(f"--sink: {url}: not the URL of a sink; give one of {FORMS}")
    place = place_of(url, PORTS[scheme])
    match scheme:
        case "mqtt" | "mqtts":
            from ssim_ae.line.sinks.mqtt import Mqtt

            return Mqtt(place, station)
        case "opcua":
            from ssim_ae.line.sinks.opcua import OpcUa

            return OpcUa(place, station, sources)
        case _:
            from ssim_ae.line.sinks.webhook import Webhook

            return Webhook(place)
