from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from skimage.measure import label, regionprops

from ssim_ae.detector.inspection import Inspection
from ssim_ae.images.size import Size
from ssim_ae.images.view import View


def _inspection(anomaly, *, height=300, width=200, im_resize=64, min_area=1):
    size = len(anomaly)
    return Inspection(
        np.zeros((height, width, 3), np.uint8),
        np.asarray(anomaly, np.float32),
        np.zeros((3, size, size), np.float32),
        View(Size.of(im_resize), Size.of(size), 8),
        min_area,
    )


@pytest.fixture
def anomaly(rng):
    """An anomaly map with three defective regions; the second has the highest score."""
    anomaly = rng.uniform(0, 0.9, (48, 48)).astype(np.float32)
    anomaly[3:9, 4:20], anomaly[20:40, 30:33], anomaly[44:48, 0:2] = 2, 3, 1.5
    return anomaly


@pytest.mark.parametrize("threshold", [1.0, 1.7])
@pytest.mark.parametrize("shape", [(300, 200), (48, 64), (20, 31)])
def test_boxes_are_those_of_the_mask_in_the_image(anomaly, threshold, shape):
    inspection = _inspection(anomaly, height=shape[0], width=shape[1])
    expected = {
        (box[1], box[0], box[3] - box[1], box[2] - box[0])
        for box in (region.bbox for region in regionprops(label(inspection.anomaly_map > threshold, connectivity=2)))
    }
    assert {(box.x, box.y, box.width, box.height) for box in inspection.at(threshold).defects} == expected


def test_defects_are_in_falling_order_of_scores(anomaly):
    assert [defect.score for defect in _inspection(anomaly).defects] == [3, 2, 1.5]


def test_no_defects_above_the_maximum(anomaly):
    assert _inspection(anomaly).at(3).defects == []


def test_regions_below_the_minimum_area_are_no_defects(anomaly):
    assert [defect.score for defect in _inspection(anomaly, min_area=20).defects] == [3, 2]


def test_a_box_is_never_empty():
    anomaly = np.zeros((48, 48), np.float32)
    anomaly[10, 10] = 2
    (defect,) = _inspection(anomaly, height=5, width=7).defects
    assert defect.width == defect.height == 1 and 0 <= defect.x < 7 and 0 <= defect.y < 5


@pytest.mark.parametrize("min_area", [1, 20])
def test_another_threshold_changes_all_but_the_score(anomaly, min_area):
    inspection = _inspection(anomaly, min_area=min_area)
    strict, lenient = inspection.at(0.5), inspection.at(2.5)
    assert strict.score == lenient.score == inspection.score == 3
    assert strict.mask.sum() > inspection.mask.sum() > lenient.mask.sum() > 0
    assert strict.defect_share == pytest.approx(strict.mask.mean())
    assert [box.score for box in lenient.defects] == [3]
    assert (lenient.verdict, inspection.at(3).verdict, inspection.at(3).mask.any()) == ("nok", "ok", False)
    assert not np.array_equal(strict.heatmap, lenient.heatmap)
    assert np.array_equal(strict.levels, inspection.levels)


def test_an_inspection_in_one_line_and_as_a_picture(anomaly):
    inspection = _inspection(anomaly, height=3000, width=2000)
    assert repr(inspection) == "<Inspection: nok, score 3.0000, 3 defects, 2000 x 3000 px>"
    assert repr(inspection.at(2.5)) == "<Inspection: nok, score 3.0000, threshold 2.5, 1 defect, 2000 x 3000 px>"
    with Image.open(BytesIO(inspection._repr_png_())) as picture:
        assert picture.format == "PNG" and max(picture.size) == 1024


def test_no_picture_of_the_size_of_the_image_is_kept(anomaly):
    inspection = _inspection(anomaly)
    for name in ("mask", "anomaly_map", "heatmap", "overlay", "defects"):
        getattr(inspection, name)
    kept = [value.nbytes for value in vars(inspection).values() if isinstance(value, np.ndarray)]
    assert sum(kept) == sum(array.nbytes for array in (inspection.pixels, inspection.anomaly, inspection.planes))
