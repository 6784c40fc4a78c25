"""The inspection page."""

from ssim_ae.images.formats import MEDIA_TYPES, SUFFIXES
from ssim_ae.pages.page import render_page


def page_html(*, watching: bool) -> str:
    """Return the inspection page as HTML; with `watching` it polls the server for images of the watched folder."""
    accept = ",".join((*MEDIA_TYPES, *SUFFIXES))  # suffixes for systems without a media type for each format
    return render_page(
        "server", "Inspect", {"watching": watching, "accept": accept}, ("original.js", "page.js", "regions.js")
    )
