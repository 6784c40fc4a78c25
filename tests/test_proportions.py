import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from ssim_ae.proportions import wilson


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.data())
def test_wilson_agrees_with_scipy(total: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, total))
    expected = binomtest(successes, total).proportion_ci(method="wilson")
    assert wilson(successes, total) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_is_within_0_and_1_and_nan_for_a_total_of_0() -> None:
    assert all(wilson(0, total)[0] == 0 and wilson(total, total)[1] == 1 for total in range(1, 200))
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match="expected 0 to 3 successes, got 4"):
        wilson(4, 3)
