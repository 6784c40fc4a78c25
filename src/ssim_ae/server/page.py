"""The inspection page."""

from ssim_ae.pages.page import page


def page_html(*, watching: bool) -> str:
    """Return the page; it looks for images that come into a watched folder if there is one."""
    return page("server", "Inspect", {"watching": watching}, ("page.js",))
