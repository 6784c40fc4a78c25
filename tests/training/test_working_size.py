from collections import Counter
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ssim_ae import Config, Detector, InputError, find_dataset, train
from ssim_ae.detector.detector_file import read_detector
from ssim_ae.detector.run_folder import config_path
from ssim_ae.evaluation.contact_sheet import BACKGROUND_COLOR, CELL_SIZE, HEADER_HEIGHT, LABEL_HEIGHT, MARGIN
from ssim_ae.export.inspection_model import IMAGE, inspection_model
from ssim_ae.images import files
from ssim_ae.images.files import image_size
from ssim_ae.images.size import Size
from ssim_ae.maps.normalization import GRID_SIZE
from ssim_ae.report.report import write_report
from ssim_ae.runtimes.onnx_runtime import open_session
from ssim_ae.training import good_images
from ssim_ae.training.train import Addition
from ssim_ae.training.working_size import MIN_DEFECT_PIXELS, choose_working_size, with_working_size

FEATURES, REPAIR, REFERENCE = (Config(method=name) for name in ("features", "repair", "reference"))
image_sides = st.integers(20, 5000)


@pytest.mark.parametrize(
    ("config", "images", "expected"),
    [
        (FEATURES, [(900, 900)], (512, 512)),
        (FEATURES, [(1260, 500)], (800, 320)),
        (FEATURES, [(50, 60)], (464, 560)),  # enlarged
        (FEATURES, [(3000, 40)], (4096, 64)),
        (FEATURES.replace(resolution=32), [(100, 100)], (64, 64)),
        (FEATURES.replace(smallest_defect=20), [(900, 1200)], (368, 496)),
        (REPAIR, [(900, 900)], (144, 144)),
        (REFERENCE, [(900, 900)], (256, 256)),
        (REFERENCE, [(1260, 500)], (406, 161)),
        (REFERENCE, [(100, 120)], (234, 281)),
        (REFERENCE.replace(resolution=140), [(100, 102)], (128, 128)),  # no border is left out
        (REFERENCE.replace(resolution=155), [(100, 102)], (160, 163)),
        (REPAIR.replace(resolution=256), [(500, 1260)], (160, 400)),
        (REPAIR.replace(crop_size=64), [(450, 200)], (216, 96)),
        (REPAIR, [(450, 200)], (288, 128)),  # both sides are at least a patch
        (REPAIR, [(3000, 40)], (4096, 128)),  # and at most 4096 px
        (REPAIR.replace(resolution=512), [(480, 640), (480, 640), (900, 900)], (448, 592)),
        (REFERENCE, [(500, 1260), (1260, 500)], (406, 161)),  # that of an image, not a mean that none has
        (REPAIR.replace(smallest_defect=20), [(900, 1200)], (368, 496)),
        (REPAIR.replace(smallest_defect=2), [(160, 320)], (160, 320)),  # never enlarged
    ],
)
def test_the_size_has_the_aspect_ratio_and_fits_the_method(config, images, expected):
    assert choose_working_size(config, [Size(*size) for size in images]) == expected


@settings(max_examples=300)
@given(
    st.sampled_from(
        [("features", 64), ("repair", 32), ("repair", 64), ("repair", 128), ("reference", 64), ("reference", 128)]
    ),
    image_sides,
    image_sides,
    st.integers(64, 700),
)
def test_every_chosen_size_is_valid_and_keeps_the_aspect_ratio(kind, height, width, resolution):
    method, crop_size = kind
    patches = {} if method == "features" else {"crop_size": crop_size, "flc": 4}
    config = Config(method=method, resolution=resolution, **patches)
    size = choose_working_size(config, [Size(height, width)])
    chosen = with_working_size(config, [Size(height, width)])
    assert chosen.working_size == chosen.view_size == size, "nothing is cropped"
    change = (size.width / size.height) / (width / height)
    if max(size) < 4096:
        assert max(change, 1 / change) < (1.16 if min(size) > crop_size else 1.26), "a second tile fits, or none"
    if min(size) > crop_size + 32:
        assert 0.8 < sqrt(size.width * size.height) / resolution < 1.2


def test_the_smallest_defect_covers_enough_pixels():
    for defect in (8.5, 12, 30, 50):
        size = choose_working_size(REPAIR.replace(smallest_defect=defect), [Size(1500, 2000)])
        assert defect * sqrt(size.height * size.width / (1500 * 2000)) >= MIN_DEFECT_PIXELS


def test_a_size_that_is_too_large_is_named_with_its_reason():
    with pytest.raises(InputError) as raised:
        with_working_size(REPAIR.replace(smallest_defect=10), [Size(3000, 4000)])
    assert str(raised.value) == (
        "smallest_defect 10: the images would be resized to 3200 x 2400 px, but flc 16 is too large for patches of "
        "3200 x 2400 px; raise smallest_defect, or set im_resize"
    )
    with pytest.raises(InputError, match=r"resolution 256: .* do_aug False trains on the center .*; lower resolution"):
        with_working_size(Config(method="reference", do_aug=False), [Size(300, 400)])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_of_a_file_is_that_of_its_upright_pixels_and_none_is_decoded(
    tmp_path, suffix, orientation, monkeypatch
):
    exif = Image.Exif()
    exif[files.ORIENTATION] = orientation
    path = tmp_path / f"image{suffix}"
    Image.fromarray(np.zeros((30, 50, 3), np.uint8)).save(path, **({} if suffix == ".bmp" else {"exif": exif}))
    expected = files.read_image(path).shape[:2]
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
    assert image_size(path) == expected


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_file_without_a_size_is_an_error_that_names_it(tmp_path, content):
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.png: "):
        image_size(path)


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Return a data set of wide images, one of them square and one a corrupt file."""
    root = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(5)
    for folder, count in (("train/good", 8), ("test/good", 2), ("test/hole", 2)):
        (root / folder).mkdir(parents=True)
        for number in range(count):
            shape = (96, 96) if folder == "train/good" and number == 3 else (60, 150)
            pixels = (np.indices(shape).sum(axis=0)[:, :, None] * 2 % 90 + rng.integers(0, 20, 3)).astype(np.uint8)
            if folder == "test/hole":
                pixels[20:40, 100:125] = 255
            Image.fromarray(pixels).save(root / folder / f"{number}.png")
    return root


TRAINING = {"crop_size": 32, "flc": 4, "augment_num": 64, "batch_size": 16, "epochs": 2, "precision": "fp32"}


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"method": "features", "resolution": 100}, (64, 160)),
        ({"method": "repair", "resolution": 100, **TRAINING}, (64, 160)),
        ({"method": "reference", "resolution": 110, "z_dim": 8, **TRAINING}, (70, 175)),
    ],
)
def test_a_rectangular_training_from_folder_to_report(wide, tmp_path, capsys, settings, size, monkeypatch):
    decoded = Counter()
    read = good_images.read_image
    monkeypatch.setattr(
        good_images, "read_image", lambda path, **options: (decoded.update([path]), read(path, **options))[1]
    )
    config = Config(dataset_path=str(wide), **settings, drawn_defects=4, device_target="CPU")
    run = train(config, runs=tmp_path)
    assert max(decoded.values()) == 1, "sizes are read from the headers"
    text = f"8 good images of 2 sizes from 150 x 60 px to 96 x 96 px, resized to {Size(*size)} (1 of them squeezed"
    assert text in capsys.readouterr().err
    assert Config.read(config_path(run.folder)).working_size == run.config.working_size == size
    file = read_detector(run.detector_path)
    assert file.config.working_size == size and file.detectability.working_size == list(size)
    if file.normal_statistics:
        assert file.normal_statistics.grids.shape == (2, GRID_SIZE, GRID_SIZE)

    detector = Detector.load(run.folder)
    evaluation = write_report(run.detector_path, detector, find_dataset(wide), tmp_path / "report")
    assert any(result.has_ground_truth for result in evaluation.results)
    assert f"images resized to {Size(*size)}." in (tmp_path / "report" / "index.html").read_text()
    with Image.open(tmp_path / "report" / "images" / "hole" / "0_levels.png") as levels:
        assert levels.size == size[::-1]
    sheet = files.read_image(tmp_path / "report" / "contact_sheet.png")
    cell = sheet[HEADER_HEIGHT + LABEL_HEIGHT :][:CELL_SIZE, MARGIN:][:, :CELL_SIZE]
    assert (cell != BACKGROUND_COLOR).any(axis=(1, 2)).sum() == pytest.approx(CELL_SIZE * size[0] / size[1], abs=1)

    defective = files.read_image(wide / "test" / "hole" / "0.png")
    expected = detector.inspect(defective)
    session = open_session(inspection_model(file).SerializeToString(), "CPU")
    score, anomaly_map = session.run(["score", "anomaly_map"], {IMAGE: defective})
    assert float(score) == pytest.approx(expected.score, rel=1e-3)
    assert np.abs(anomaly_map - expected.anomaly_map).max() < 1e-3 * expected.score
    row, column = np.unravel_index(expected.anomaly_map.argmax(), expected.anomaly_map.shape)
    assert 15 <= row < 45 and 95 <= column < 130, "where the defect is"

    resumed = train(Config(), resume=run.folder)
    assert not resumed.trained and resumed.config.working_size == size
    if run.config.uses("epochs"):
        added = train(Config(), resume=run.folder, add=Addition(epochs=1))
        assert added.trained and added.config.working_size == size
        assert read_detector(added.detector_path).config.working_size == size
