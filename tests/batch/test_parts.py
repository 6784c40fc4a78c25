"""A listing is cut into parts that are named by their content."""

from hypothesis import given
from hypothesis import strategies as st

from ssim_ae.batch.listing import ImageFile
from ssim_ae.batch.parts import cut_into_parts

images = st.lists(st.text(), unique=True, max_size=200).map(lambda names: [ImageFile(name, 1, "2") for name in names])


@given(images, st.integers(1, 20))
def test_every_image_is_in_one_part(images, size):
    parts = list(cut_into_parts(images, "key", size))
    assert [image for part in parts for image in part.images] == images
    assert all(0 < len(part.images) <= 4 * size for part in parts)
    assert len({part.name for part in parts}) == len(parts)


def test_an_added_image_changes_one_part():
    images = [ImageFile(f"{number}.png", 1, "") for number in range(0, 2000, 2)]
    before = {part.name for part in cut_into_parts(images, "key", 10)}
    images.insert(300, ImageFile("601.png", 1, ""))
    after = {part.name for part in cut_into_parts(images, "key", 10)}
    assert len(before) > 50
    assert len(before - after) <= 2


def test_a_name_states_content_and_detector():
    image = ImageFile("a.png", 1, "2")
    variants = [
        *((image._replace(**{field: value}), "key") for field, value in (("size", 2), ("version", "3"))),
        (image._replace(location="b.png"), "key"),
        (image, "key"),
        (image, "other"),
    ]
    names = {next(cut_into_parts([variant], key, 10)).name for variant, key in variants}
    assert len(names) == len(variants)
