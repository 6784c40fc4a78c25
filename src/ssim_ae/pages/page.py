"""One HTML file of a page's parts: it needs no server, and takes nothing from the network."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from ssim_ae.images.colours import RAMP
from ssim_ae.maps.levels import LEVEL_THRESHOLDS, STEPS_PER_DOUBLING


def page(room: str, title: str, data: Mapping[str, Any], scripts: tuple[str, ...]) -> str:
    """Return a page with `<room>/page.html` for a body, and style, scripts and data in it; nothing else may run."""
    style = _part("pages", "look.css")
    shared = [_part("pages", name) for name in ("picture.js", "gallery.js")]
    script = "\n".join([*shared, *(_part(room, name) for name in scripts)])
    shown = {
        **data,
        "limits": LEVEL_THRESHOLDS.tolist(),
        "steps": STEPS_PER_DOUBLING,
        "ramp": (RAMP / 255).round(4).tolist(),
    }
    parts = {
        "title": escape(title),
        "policy": (
            f"default-src 'none'; img-src 'self' file: data: blob:; media-src blob:; connect-src 'self'; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "filters": _part("pages", "filters.svg"),
        "body": _part(room, "page.html"),
        "data": json.dumps(shown, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"),
        "script": script,
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _part("pages", "frame.html"))


def _part(room: str, name: str) -> str:
    return (files("ssim_ae") / room / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
