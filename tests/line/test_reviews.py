import json

import pytest
from sqlalchemy import select

from ssim_ae.line.entries import Filters
from ssim_ae.line.inspection_log import InspectionLog
from ssim_ae.line.queries import all_entries
from ssim_ae.line.reviews import DefectBox, Review, UnknownInspection, add_review, reviewed_images
from ssim_ae.line.schema import reviews

from .conftest import KEEP_ALL, record


def review(log, verdict, *numbers, **more):
    add_review(log, Review(inspections=list(numbers), verdict=verdict, **more))


def verdicts(log):
    return [entry.review for entry in all_entries(log, Filters())][::-1]


def test_the_last_review_counts_and_all_are_kept(log):
    for number in range(3):
        record(log, number)
    review(log, "good", 1, 2, reviewer="Ana\0")
    review(log, "defective", 2, 3, box=DefectBox(x=1, y=2, width=3, height=4))
    assert verdicts(log) == ["good", "defective", "defective"]
    review(log, "withdrawn", 3)
    assert verdicts(log) == ["good", "defective", None]
    assert [entry.name for entry in all_entries(log, Filters(review="none"))] == ["2.png"]
    with log.database.read() as connection:
        rows = connection.execute(select(reviews).order_by(reviews.c.id)).all()
    assert [(row.inspection_id, row.verdict) for row in rows] == [
        (1, "good"),
        (2, "good"),
        (2, "defective"),
        (3, "defective"),
        (3, "withdrawn"),
    ]
    assert rows[0].reviewer == "Ana\ufffd" and json.loads(rows[2].box) == {"x": 1, "y": 2, "width": 3, "height": 4}


def test_a_review_of_an_unknown_inspection_changes_nothing(log):
    record(log)
    with pytest.raises(UnknownInspection, match=r"^7: no such inspection; take the id of an entry of the log$"):
        review(log, "good", 1, 7)
    assert verdicts(log) == [None]


def test_reviewed_images_are_kept_and_each_content_is_listed_once(place):
    with InspectionLog.open(place, rule=KEEP_ALL._replace(max_bytes=250)) as log:
        for number in range(3):
            record(log, number, data=b"same" * 10 if number < 2 else bytes(40))
        review(log, "good", 1)
        review(log, "defective", 2)
        review(log, "good", 3)
        for number in range(3, 9):
            record(log, number, data=bytes([number]) * 100)
        found = reviewed_images(log, "bottle")
        assert [(image.name, image.verdict) for image in found] == [("1.png", "defective"), ("2.png", "good")]
        assert found[1].path.read_bytes() == bytes(40)
        assert reviewed_images(log, "other") == []
