"""The inspection page."""

from ssim_ae.pages.page import page


def page_html(*, watching: bool) -> str:
    """Return the inspection page as HTML; with `watching` it polls the server for images of the watched folder."""
    return page("server", "Inspect", {"watching": watching}, ("page.js",))
