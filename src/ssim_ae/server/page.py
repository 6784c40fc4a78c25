"""The inspection page."""

from ssim_ae.images.formats import MEDIA_TYPES, SUFFIXES
from ssim_ae.pages.page import render_page


def page_html(*, watching: bool) -> str:
    """Return the page; it looks for images that come into a watched folder if there is one."""
    accept = ",".join((*MEDIA_TYPES, *SUFFIXES))  # systems that do not know a media type use the suffixes
    return render_page("server", "Inspect", {"watching": watching, "accept": accept}, ("page.js",))
