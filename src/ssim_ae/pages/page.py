"""Render a page as one HTML file that loads no other style, script or font."""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from importlib.resources import files
from typing import Any

from ssim_ae.images.colors import RAMP
from ssim_ae.maps.levels import LEVEL_THRESHOLDS, STEPS_PER_DOUBLING

STYLES = ("base.css", "charts.css", "images.css")
NAVIGATION = "{{navigation}}"  # in a body: where the links to other pages are
CURRENT_PAGE = ' aria-current="page"'
# In the order of their dependencies.
SHARED_SCRIPTS = ("dom.js", "threshold.js", "layers.js", "viewer.js", "gallery.js", "detectability.js")


def render_page(
    package: str,
    title: str,
    data: Mapping[str, Any],
    scripts: tuple[str, ...],
    styles: tuple[str, ...] = (),
    site: Mapping[str, str] | None = None,
) -> str:
    """Return the HTML of a page, with style, scripts and data inline.

    The body is the file page.html of the subpackage `package`, which also holds `scripts` and `styles`; one of another
    package is named with it, as `pages/api.js`. They read `data`, which must be JSON without NaN. The content security
    policy allows only these scripts and styles. `site` are the paths of the pages that the body links to, this one
    included, by title.
    """
    style = "\n".join([*(_read("pages", name) for name in STYLES), *(_read(package, name) for name in styles)])
    script = "\n".join(
        [*(_read("pages", name) for name in SHARED_SCRIPTS), *(_read(package, name) for name in scripts)]
    )
    shared_data = {
        "level_thresholds": LEVEL_THRESHOLDS.tolist(),
        "steps_per_doubling": STEPS_PER_DOUBLING,
        "color_ramp": (RAMP / 255).round(4).tolist(),
    }
    parts = {
        "title": escape(title),
        "policy": (
            f"default-src 'none'; img-src 'self' file: data: blob:; media-src blob:; connect-src 'self'; "
            f"style-src '{_hash(style)}'; script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
        ),
        "style": style,
        "filters": _read("pages", "filters.svg"),
        "body": _read(package, "page.html").replace(NAVIGATION, _navigation(title, site or {})),
        "bar": _read("pages", "bar.html"),
        "data": json.dumps({**data, **shared_data}, allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"),
        "script": script,
    }
    # One pass: placeholders in titles or data must not be replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda placeholder: parts[placeholder[1]], _read("pages", "template.html"))


def _navigation(title: str, site: Mapping[str, str]) -> str:
    """Return the links to the pages of a site, of which this one is marked; nothing if there is no other."""
    if len(site) < 2:
        return ""
    links = "".join(
        f'<a href="{escape(path)}"{CURRENT_PAGE if name == title else ""}>{escape(name)}</a>'
        for name, path in site.items()
    )
    return f'<nav aria-label="Pages">{links}</nav>'


def _read(package: str, name: str) -> str:
    other, _, name = name.rpartition("/")
    package = other or package
    return (files("ssim_ae") / package / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
