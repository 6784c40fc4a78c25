"""What `--source NAME=URL` and `--trigger NAME=RULE` say. No message shows a URL: it may contain a password."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from ssim_ae.errors import InputError
from ssim_ae.sources.triggers import Every, OnRequest, Rest, Trigger
from ssim_ae.spelling import did_you_mean

Kind = Literal["folder", "video", "stream", "usb", "genicam"]
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https")
NAME = r"(?P<name>\w[\w.-]{0,63})"
UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0}  # seconds
SHORTEST, LONGEST = 0.01, 86_400.0  # seconds of an interval
DEFAULT_RULE = "every:1s"
RULES: dict[str, Callable[[], Trigger]] = {
    "still": lambda: Rest(needs_part=True),
    "stop": lambda: Rest(needs_part=False),
    "request": OnRequest,
}


@dataclass(frozen=True)
class SourceSettings:
    """A source as it was configured. `trigger` makes the trigger of the rule; a folder has none."""

    name: str
    kind: Kind
    address: str = field(repr=False)
    rule: str = ""
    trigger: Callable[[], Trigger] = OnRequest


def source_settings(sources: Sequence[str], triggers: Sequence[str]) -> list[SourceSettings]:
    """Return the settings of sources, each NAME=URL, with their triggers, each NAME=RULE.

    Raises InputError if one cannot be understood, if a name is given twice, or if a path does not exist.
    """
    addresses = _by_name("--source", sources, "press1=rtsp://camera/stream")
    rules = _by_name("--trigger", triggers, "press1=still")
    for name in rules:
        if name not in addresses:
            raise InputError(f"--trigger {name}: no source has this name{did_you_mean(name, addresses)}")
    return [_settings(name, address, rules.get(name)) for name, address in addresses.items()]


def _by_name(option: str, values: Sequence[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for value in values:
        match = re.fullmatch(NAME + "=(?P<value>.+)", value, re.ASCII)
        if not match:
            raise InputError(f"{option}: should be NAME={'URL' if option == '--source' else 'RULE'}, as {example}")
        if match["name"] in found:
            raise InputError(f"{option} {match['name']}: given twice; give each source a name of its own")
        found[match["name"]] = match["value"]
    return found


def _settings(name: str, address: str, rule: str | None) -> SourceSettings:
    kind = _kind_of(name, address)
    if kind == "folder":
        if rule:
            raise InputError(f"--trigger {name}: no effect on a folder, whose new images are all inspected; remove it")
        return SourceSettings(name, kind, address)
    return SourceSettings(name, kind, address, rule or DEFAULT_RULE, _trigger_of(name, rule or DEFAULT_RULE))


def _kind_of(name: str, address: str) -> Kind:
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", address)
    if scheme:
        _check_url(name, scheme[1].lower(), address)
        return "stream"
    if re.fullmatch(r"usb:\d{1,3}|/dev/video\d{1,3}", address):
        if sys.platform != "linux":
            raise InputError(f"--source {name}: USB cameras are read on Linux only; use a stream or a folder")
        return "usb"
    if re.fullmatch(r"genicam:.+", address):
        return "genicam"
    if Path(address).is_dir():
        return "folder"
    if Path(address).is_file():
        return "video"
    raise InputError(
        f"--source {name}: no such file or folder; give a path, usb:0, genicam:SERIAL, rtsp://... or http://..."
    )


def _check_url(name: str, scheme: str, address: str) -> None:
    if scheme not in STREAM_SCHEMES:
        raise InputError(f"--source {name}: {scheme}:// is not supported; give rtsp://, rtsps://, http:// or https://")
    try:
        parts = urlsplit(address)
        valid = bool(parts.hostname) and parts.port != 0 and address.isprintable() and " " not in address
    except ValueError:
        valid = False
    if not valid:
        raise InputError(f"--source {name}: not a valid URL; give {scheme}://HOST/PATH or {scheme}://HOST:PORT/PATH")


def _trigger_of(name: str, rule: str) -> Callable[[], Trigger]:
    if rule in RULES:
        return RULES[rule]
    every = re.fullmatch(r"every:(\d{1,9}(?:\.\d{1,9})?)(ms|s|min)", rule)
    seconds = float(every[1]) * UNITS[every[2]] if every else 0
    if not SHORTEST <= seconds <= LONGEST:
        rules = "every:2s (from every:10ms to every:1440min), still, stop or request"
        raise InputError(f"--trigger {name}: {rule!r} is no rule; give {rules}")
    return lambda: Every(seconds)
