"""Ground-truth masks: every way in which programs write them gives the same pixels."""

import numpy as np
import pytest
from PIL import Image

from ssim_ae.images.files import write_png
from ssim_ae.images.masks import MaskFiles, masks_beside, read_mask

DISK = np.hypot(*np.mgrid[-32:64, -48:48]) < 9


def soft(width):
    """A mask whose edge falls linearly over some pixels, (H, W) float in [0, 1], half at the edge of DISK."""
    distance = np.hypot(*np.mgrid[-32:64, -48:48]) - 9
    return np.clip(0.5 - distance / width, 0, 1)


def palette_image(indices, colors):
    image = Image.frombytes("P", indices.shape[::-1], indices.astype(np.uint8).tobytes())
    image.putpalette([value for color in colors for value in color])
    return image


def rgb(color, background=(0, 0, 0)):
    return np.where(DISK[:, :, None], np.uint8(color), np.uint8(background))


def rgba(color, background, alpha, background_alpha):
    return np.dstack([rgb(color, background), np.where(DISK, np.uint8(alpha), np.uint8(background_alpha))])


IMAGES = {
    "black and white": Image.fromarray(DISK.astype(np.uint8) * 255),
    "1 bit": Image.fromarray(DISK),
    "label 1": Image.fromarray(DISK.astype(np.uint8)),
    "gray 100": Image.fromarray(DISK.astype(np.uint8) * 100),
    "16 bit": Image.fromarray(DISK.astype(np.uint16) * 65_535),
    "16 bit, label 1": Image.fromarray(DISK.astype(np.uint16)),
    "16 bit, values of 8 bits": Image.fromarray(DISK.astype(np.uint16) * 255),
    "16 bit, values of 12 bits": Image.fromarray(DISK.astype(np.uint16) * 4095),
    "red": Image.fromarray(rgb((255, 0, 0))),
    "blue": Image.fromarray(rgb((0, 0, 255))),
    "dark blue": Image.fromarray(rgb((0, 0, 100))),
    "palette, black first": palette_image(DISK, [(0, 0, 0), (128, 0, 0)]),
    "palette, dark color": palette_image(DISK, [(0, 0, 0), (64, 0, 0)]),
    "palette, white first": palette_image(~DISK, [(255, 255, 255), (0, 0, 0)]),
    "palette without black": palette_image(DISK, [(255, 255, 255), (200, 0, 0)]),
    "palette of gray": palette_image(DISK, [(0, 0, 0), (1, 1, 1)]),
    "opaque": Image.fromarray(rgba((255, 255, 255), (0, 0, 0), 255, 255)),
    "white on transparent": Image.fromarray(rgba((255, 255, 255), (0, 0, 0), 255, 0)),
    "white on transparent white": Image.fromarray(rgba((255, 255, 255), (255, 255, 255), 255, 0)),
    "half transparent red": Image.fromarray(rgba((255, 0, 0), (0, 0, 0), 100, 0)),
    "black on transparent": Image.fromarray(rgba((0, 0, 0), (0, 0, 0), 255, 0)),
    "gray with alpha": Image.fromarray(rgba((255, 255, 255), (0, 0, 0), 255, 0)).convert("LA"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_the_same_pixels_are_defective_in_every_encoding(tmp_path, name):
    IMAGES[name].save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert np.array_equal(mask.pixels, DISK) and mask.doubt == ""


def test_read_mask_returns_what_write_png_wrote(tmp_path, rng):
    mask = rng.random((20, 30)) > 0.5
    write_png(tmp_path / "mask.png", mask)
    assert np.array_equal(read_mask(tmp_path / "mask.png").pixels, mask)


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("color", [(255, 255, 255), (255, 0, 0)])
def test_a_mask_that_jpeg_compressed_has_the_area_of_the_original(tmp_path, quality, color):
    Image.fromarray(rgb(color)).save(tmp_path / "mask.jpg", quality=quality)
    mask = read_mask(tmp_path / "mask.jpg")
    assert mask.pixels.sum() == pytest.approx(DISK.sum(), rel=0.1) and mask.doubt == ""


@pytest.mark.parametrize("full", [255, 65_535])
def test_a_soft_edge_is_cut_at_half_of_full_scale(tmp_path, full):
    values = np.rint(soft(3) * full).astype(np.uint8 if full == 255 else np.uint16)
    Image.fromarray(values).save(tmp_path / "mask.png")
    mask = read_mask(tmp_path / "mask.png")
    assert np.array_equal(mask.pixels, values >= (full + 1) // 2) and mask.doubt == ""


@pytest.mark.parametrize("step", [1, 10, 40])
def test_labels_of_several_defects_all_count(tmp_path, step):
    labels = np.zeros((40, 40), np.uint8)
    for label in (1, 2, 3):
        labels[10 * label : 10 * label + 5] = label * step
    Image.fromarray(labels).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png").pixels, labels > 0)


def test_label_colors_of_several_hues_all_count(tmp_path):
    indices = np.repeat(np.arange(4), 10)[:, None] * np.ones(40, int)
    indices[:10] = 0
    colors = [(0, 0, 0), (128, 0, 0), (0, 64, 0), (64, 0, 128)]
    for name, image in (("p", palette_image(indices, colors)), ("c", palette_image(indices, colors).convert("RGB"))):
        image.save(tmp_path / f"{name}.png")
        assert np.array_equal(read_mask(tmp_path / f"{name}.png").pixels, indices > 0)


def test_a_mask_in_doubt_says_why(tmp_path):
    def doubt(values):
        Image.fromarray(values.astype(np.uint8)).save(tmp_path / "mask.png")
        return read_mask(tmp_path / "mask.png").doubt

    assert "97 % of the image is marked as defective; is the mask inverted?" in doubt(~DISK * 255)
    two_labels = DISK * 1
    two_labels[0, :5] = 255
    assert "more pixels have values below 128, and count as good, than above it" in doubt(two_labels)
    assert "no value above 90 of 255; half of it counts as defective" in doubt(np.rint(soft(8) * 90))
    assert doubt(DISK * 0) == ""


def test_a_mask_is_turned_upright_like_its_image(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("L", "RGBA"):
        image = Image.fromarray(rgba((255, 255, 255), (0, 0, 0), 255, 0)).convert(mode)
        image.save(tmp_path / "mask.png", exif=exif)
        assert np.array_equal(read_mask(tmp_path / "mask.png").pixels, np.rot90(DISK, -1))


@pytest.mark.parametrize(
    ("mask", "image", "img_suffix"),
    [
        ("ground_truth/hole/000_mask.png", "000.png", ""),
        ("ground_truth/hole/000_mask.jpg", "000.png", ""),
        ("ground_truth/hole/000_MASK.TIF", "000.jpg", ""),
        ("ground_truth/hole/000.png", "000.png", ""),
        ("ground_truth/hole/000.bmp", "000.jpg", ""),
        ("ground_truth/HOLE/000.PNG", "000.png", ""),
        ("ground_truth/000_mask.png", "000.png", ""),
        ("ground_truth/hole/000_rgb_mask.png", "000_rgb.png", "_rgb.png"),
        ("ground_truth/hole/000_mask.png", "000_rgb.png", "_rgb.png"),
        ("ground_truth/hole/000.png", "000_rgb.png", "_rgb"),
        ("test/hole/000_mask.png", "000.png", ""),
    ],
)
def test_masks_are_found_by_the_names_that_people_give_them(tmp_path, mask, image, img_suffix):
    for path in (tmp_path / mask, tmp_path / "test" / "hole" / image):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = MaskFiles(tmp_path / "test" / "hole", [tmp_path / "ground_truth"], img_suffix, "_mask.png", only_type=True)
    assert found.find(tmp_path / "test" / "hole" / image) == tmp_path / mask
    assert found.find(tmp_path / "test" / "hole" / "001.png") is None
    assert found.expected(tmp_path / "001.png") == tmp_path / "ground_truth" / "hole" / "001_mask.png"


def test_an_image_is_never_its_own_mask(tmp_path):
    images = [tmp_path / "000.png", tmp_path / "001.png", tmp_path / "001_mask.png"]
    for path in images:
        path.touch()
    found = MaskFiles(tmp_path, [tmp_path / "none"], "", ".png", only_type=False)
    assert found.find(images[0]) is None
    assert masks_beside(images, "_mask.png") == {images[2]} and masks_beside(images, ".png") == set()
