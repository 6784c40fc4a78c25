"""The inspection page."""

from ssim_ae.pages.page import render_page


def page_html(*, watching: bool) -> str:
    """Return the page; it looks for images that come into a watched folder if there is one."""
    return render_page("server", "Inspect", {"watching": watching}, ("page.js",))
