"""Words and numbers in messages."""

import pytest

from ssim_ae.spelling import percentage, significant


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (140.3, 2, "140"),
        (14.03, 2, "14"),
        (0.31, 3, "0.31"),
        (1024, 3, "1020"),
        (20000.0, 4, "20000"),
        (0.0000123, 2, "0.000012"),
        (0.0, 2, "0"),
        (-99.6, 2, "-100"),
    ],
)
def test_a_number_has_no_exponent(value: float, digits: int, text: str) -> None:
    assert significant(value, digits) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.01, "1"), (0.0123, "1.2"), (0.994, "99"), (0.995, "100"), (1.0, "100"), (1.5, "100"), (5e-9, "0.0000005")],
)
def test_a_share_in_percent(share: float, text: str) -> None:
    assert percentage(share) == text
