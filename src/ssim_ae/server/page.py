"""The inspection page."""

from collections.abc import Mapping

from ssim_ae.images.formats import MEDIA_TYPES, SUFFIXES
from ssim_ae.pages.page import render_page


def page_html(*, watching: bool, links: Mapping[str, str]) -> str:
    """Return the inspection page as HTML; with `watching` it polls the server for images of the watched folder.

    `links` are the paths of the server's other pages by their titles.
    """
    accept = ",".join((*MEDIA_TYPES, *SUFFIXES))  # suffixes for systems without a media type for each format
    data = {"watching": watching, "accept": accept, "links": dict(links)}
    return render_page("server", "Inspect", data, ("pages/api.js", "original.js", "page.js", "regions.js"))
