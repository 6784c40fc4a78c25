import numpy as np

from ssim_ae.maps.verdict import THRESHOLD, is_defective


def test_a_score_equal_to_the_threshold_is_not_defective():
    assert is_defective(1.000001) is True
    assert is_defective(THRESHOLD) is False


def test_maps_are_compared_pixel_by_pixel():
    above = np.nextafter(np.float32(1), np.float32(2))
    anomaly = np.array([[0, 1], [above, 8]], np.float32)
    assert np.array_equal(is_defective(anomaly), [[False, False], [True, True]])
