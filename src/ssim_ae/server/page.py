"""The inspection page."""

from collections.abc import Mapping

from ssim_ae.images.formats import MEDIA_TYPES, SUFFIXES
from ssim_ae.pages.page import render_page

TITLE = "Inspect"
PATH = "/"


def page_html(site: Mapping[str, str], *, watching: bool) -> str:
    """Return the inspection page as HTML; with `watching` it polls the server for images of the watched folder.

    `site` are the paths of all pages of the server by their titles.
    """
    accept = ",".join((*MEDIA_TYPES, *SUFFIXES))  # suffixes for systems without a media type for each format
    data = {"watching": watching, "accept": accept}
    return render_page("server", TITLE, data, ("pages/api.js", "original.js", "page.js", "regions.js"), site=site)
