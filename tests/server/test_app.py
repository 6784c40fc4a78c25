import base64
import io
from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest
import tifffile
from PIL import Image
from skimage.measure import label, regionprops

from ssim_ae import Detector
from ssim_ae.detector.predictions import predict
from ssim_ae.images import colors
from ssim_ae.images.files import read_image
from ssim_ae.maps.levels import levels_image
from ssim_ae.server.inspector import Inspector
from ssim_ae.server.schemas import PictureName

PICTURES = get_args(PictureName)
PNG = {"Content-Type": "image/png"}
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
FORMATS = [(suffix, mode) for suffix in ("png", "jpg", "bmp", "tif", "webp") for mode in ("RGB", "L")]
FORMATS += [("png", "I;16"), ("tif", "I;16"), ("png", "RGBA"), ("tif", "RGBA"), ("webp", "RGBA")]


def inspect(client, data, **query):
    response = client.post("/v1/inspect", content=data, headers=PNG, params=query)
    assert response.status_code == 200, response.text
    return response.json()


def decoded_picture(response, name):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(response["pictures"][name]))))


def box(defect):
    return defect["x"], defect["y"], defect["width"], defect["height"]


@pytest.fixture(scope="module")
def large(images, tmp_path_factory):
    """A defective image that is not square and larger than the working size."""
    path = tmp_path_factory.mktemp("large") / "large.png"
    defective = next(path for path in images if path.parent.name == "hole")
    Image.open(defective).resize((210, 150)).save(path)
    return path


def test_responses_equal_the_results_of_the_detector(client, detector, images):
    for path, predicted in zip(images, predict(detector, images), strict=True):
        inspection = detector.inspect(path)
        response = inspect(client, path.read_bytes())
        assert (response["verdict"], response["score"]) == (predicted.verdict, predicted.score)
        assert (response["verdict"], response["score"]) == (inspection.verdict, inspection.score)
        assert response["defect_share"] == predicted.defect_share
        assert response["defects"] == [asdict(defect) for defect in inspection.defects]
        assert (response["detector"], response["name"], response["threshold"]) == ("twill", "", 1)
        assert response["pictures"] == {} and min(response["milliseconds"].values()) >= 0


def test_responses_for_real_images_equal_those_of_predict(client, detector, bottle):
    paths = sorted((bottle / "test").rglob("*.png"))
    responses = [inspect(client, path.read_bytes()) for path in paths]
    predicted = predict(detector, paths)
    assert [(response["verdict"], response["score"], response["defect_share"]) for response in responses] == [
        (one.verdict, one.score, one.defect_share) for one in predicted
    ]
    assert len(paths) == 83


def test_pictures_equal_those_of_the_inspection(client, detector, large):
    response = inspect(client, large.read_bytes(), pictures=PICTURES)
    inspection = detector.inspect(large)
    assert tuple(response["pictures"]) == PICTURES[:-1] and PICTURES[-1] == "regions", "the detector has none"
    assert (response["width"], response["height"]) == (210, 150)
    assert np.array_equal(decoded_picture(response, "mask") > 0, inspection.mask)
    assert decoded_picture(response, "mask").shape == (150, 210)
    assert np.array_equal(decoded_picture(response, "levels"), levels_image(inspection.levels))
    for name in ("heatmap", "inspected", "reconstruction"):
        assert np.array_equal(decoded_picture(response, name), getattr(inspection, name))


def test_without_a_reconstruction_that_picture_is_left_out(features_run, serve, large):
    detector = Detector.load(features_run.folder)
    with Inspector({"cloth": detector}) as inspector, serve(inspector) as client:
        response = inspect(client, large.read_bytes(), pictures=PICTURES)
        inspection = detector.inspect(large)
        assert tuple(response["pictures"]) == tuple(
            name for name in PICTURES if name not in ("reconstruction", "regions")
        )
        assert response["score"] == pytest.approx(inspection.score, rel=1e-5)
        assert np.array_equal(decoded_picture(response, "inspected"), inspection.inspected)
        assert inspect(client, large.read_bytes(), pictures=["reconstruction"])["pictures"] == {}


@pytest.mark.parametrize("sensitivity", [0.5, 2, 8])
def test_sensitivity_equals_lower_residual_thresholds(client, tiny_run, large, sensitivity):
    response = inspect(client, large.read_bytes(), sensitivity=sensitivity, pictures=["mask", "heatmap"])
    other = Detector.load(tiny_run.folder, device_target="CPU")
    other.thresholds = {name: value / sensitivity for name, value in other.thresholds.items()}
    inspection = other.inspect(large)
    assert response["threshold"] == 1 / sensitivity
    assert response["verdict"] == inspection.verdict
    assert response["score"] == pytest.approx(inspection.score / sensitivity)
    assert response["defect_share"] == inspection.defect_share
    assert [box(defect) for defect in response["defects"]] == [box(asdict(defect)) for defect in inspection.defects]
    assert np.array_equal(decoded_picture(response, "mask") > 0, inspection.mask)
    assert np.array_equal(
        decoded_picture(response, "heatmap"), colors.heatmap(inspection.image, inspection.anomaly_map)
    )


def test_sensitivity_changes_the_verdict(client, detector, images):
    path = max(images, key=lambda path: detector.inspect(path).score)
    score = detector.inspect(path).score
    assert 0.2 < score < 7
    assert inspect(client, path.read_bytes(), sensitivity=1.01 / score)["verdict"] == "nok"
    insensitive = inspect(client, path.read_bytes(), sensitivity=0.99 / score)
    assert (insensitive["verdict"], insensitive["defects"], insensitive["defect_share"]) == ("ok", [], 0)


def test_boxes_enclose_the_regions_of_the_mask(client, large):
    response = inspect(client, large.read_bytes(), sensitivity=3, pictures="mask")
    expected = {
        (region.bbox[1], region.bbox[0], region.bbox[3] - region.bbox[1], region.bbox[2] - region.bbox[0])
        for region in regionprops(label(decoded_picture(response, "mask") > 0, connectivity=2))
    }
    assert expected and {box(defect) for defect in response["defects"]} == expected
    assert response["defect_share"] == np.mean(decoded_picture(response, "mask") > 0)


@pytest.mark.parametrize(("suffix", "mode"), FORMATS)
def test_all_image_formats(client, detector, images, tmp_path, suffix, mode):
    path = tmp_path / f"image.{suffix}"
    gray = np.asarray(Image.open(images[0]).convert("L"))
    if mode == "I;16":
        Image.fromarray(gray.astype(np.uint16) * 257).save(path)
    else:
        Image.open(images[0]).convert(mode).save(path)
    media_type = {"jpg": "image/jpeg", "tif": "image/tiff"}.get(suffix, f"image/{suffix}")
    raw = client.post("/v1/inspect", content=path.read_bytes(), headers={"Content-Type": media_type})
    form = client.post("/v1/inspect", files={"image": (path.name, path.read_bytes(), media_type)})
    assert raw.json()["score"] == form.json()["score"] == detector.inspect(path).score
    assert (raw.json()["name"], form.json()["name"]) == ("", path.name)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (3, 2)])
def test_the_smallest_images(client, detector, tmp_path, size):
    path = tmp_path / "small.png"
    Image.new("RGB", size, (9, 99, 199)).save(path)
    response = inspect(client, path.read_bytes(), sensitivity=8, pictures=PICTURES)
    assert response["score"] == detector.inspect(path).score
    assert decoded_picture(response, "mask").shape == size[::-1] == read_image(path).shape[:2]


def test_no_image_is_written_to_disk(client, monkeypatch, rng):
    def roll_over(_file):
        raise AssertionError

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.rollover", roll_over)
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (1000, 1000, 3), np.uint8)).save(buffer, "PNG")
    assert len(buffer.getvalue()) > 2 * 2**20
    assert client.post("/v1/inspect", files={"image": buffer.getvalue()}).status_code == 200


def test_a_batch_is_inspected_in_order_and_continues_after_a_corrupt_image(client, detector, images):
    files = [("images", (path.name, path.read_bytes())) for path in images]
    files[1:1] = [("images", ("corrupt.png", b"not an image"))]
    responses = client.post("/v1/inspect/batch", files=files, params={"pictures": "mask"}).json()
    assert responses.pop(1) == {"name": "corrupt.png", "error": "corrupt.png: not an image, or corrupt"}
    assert [response["name"] for response in responses] == [path.name for path in images]
    assert [response["score"] for response in responses] == [detector.inspect(path).score for path in images]
    assert all(list(response["pictures"]) == ["mask"] for response in responses)


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "image: an empty file"),
        (b"\0" * 1000, "image: not an image, or corrupt"),
        (b"../../etc/passwd", "image: not an image, or corrupt"),
        (GIF, "image: GIF is not supported; save it as PNG, JPEG, BMP, TIFF or WebP"),
    ],
)
def test_a_body_that_is_no_image_returns_400(client, data, detail):
    response = client.post("/v1/inspect", content=data, headers={"Content-Type": "application/octet-stream"})
    assert (response.status_code, response.json()) == (400, {"detail": detail})


def test_uploads_are_read_at_full_depth(client, detector, tmp_path, rng):
    values = rng.integers(0, 65_536, (70, 70, 3), dtype=np.uint16)
    path = tmp_path / "deep.tif"
    tifffile.imwrite(path, values, photometric="rgb", compression="zlib")
    expected = detector.inspect(values).score
    assert detector.inspect(path).score == expected != detector.inspect((values >> 8).astype(np.uint8)).score
    response = client.post("/v1/inspect", content=path.read_bytes(), headers={"Content-Type": "image/tiff"})
    assert response.json()["score"] == pytest.approx(expected, rel=1e-6)


def test_a_truncated_image_returns_400(client, image):
    response = client.post("/v1/inspect", files={"image": ("017.png", image[: len(image) // 2])})
    assert response.status_code == 400
    assert response.json()["detail"].startswith("017.png: corrupt (")


@pytest.mark.parametrize("side", [6400, 60_000])
def test_a_decompression_bomb_returns_400(client, hollow_png, side):
    response = client.post("/v1/inspect", content=hollow_png(side), headers=PNG)
    assert response.status_code == 400 and "more than the 25,000,000 px accepted" in response.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ({"detector": "nail"}, 404, "detector: no detector 'nail'; choose one of twill"),
        ({"detector": "../../etc/passwd"}, 404, "detector: no detector '../../etc/passwd'; choose one of twill"),
        ({"sensitivity": "9"}, 422, "sensitivity: "),
        ({"sensitivity": "0.1"}, 422, "sensitivity: "),
        ({"sensitivity": "nan"}, 422, "sensitivity: "),
        ({"sensitivity": "much"}, 422, "sensitivity: "),
        ({"pictures": "photo"}, 422, "pictures: "),
        ({"sensitivty": "2"}, 422, "sensitivty: "),
    ],
)
def test_an_invalid_query_is_refused(client, image, query, status, detail):
    for path in ("/v1/inspect", "/v1/inspect/batch"):
        response = client.post(path, files={"image": image}, params=query)
        assert response.status_code == status and response.json()["detail"].startswith(detail)


@pytest.mark.parametrize(
    ("path", "request_", "status", "detail"),
    [
        (
            "/v1/inspect",
            {"content": b"x", "headers": {"Content-Type": "text/plain"}},
            415,
            "content type: text/plain is not supp",
        ),
        ("/v1/inspect", {"content": b"x"}, 415, "content type: missing; send image/png, "),
        ("/v1/inspect", {"data": {"image": "x"}}, 415, "content type: application/x-www-form-urlencoded is not"),
        (
            "/v1/inspect/batch",
            {"content": b"x", "headers": PNG},
            415,
            "content type: image/png is not supported; send multipart/fo",
        ),
        ("/v1/inspect", {"files": {"picture": b"x"}}, 422, "form: should contain the file field 'image' and no"),
        ("/v1/inspect", {"files": {"image": (None, b"x")}}, 422, "form: should contain the file field 'image' and no"),
        ("/v1/inspect", {"files": {"a": (None, b""), "image": b"x"}}, 422, "form: should contain the file field"),
        ("/v1/inspect", {"files": {"a": (None, b"x"), "b": (None, b"x")}}, 400, "Too many fields"),
        ("/v1/inspect", {"files": [("image", b"x"), ("image", b"y")]}, 400, "Too many files"),
        ("/v1/inspect/batch", {"files": {"image": b"x"}}, 422, "form: should contain the file field 'images' and no"),
        ("/v1/inspect/batch", {"files": [("images", b"x")] * 65}, 400, "Too many files. Maximum number of files is 64"),
        (
            "/v1/inspect",
            {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
            400,
            "Missing boundary in multipart",
        ),
    ],
)
def test_an_invalid_body_is_refused(client, path, request_, status, detail):
    response = client.post(path, **request_)
    assert response.status_code == status and response.json()["detail"].startswith(detail)


def test_the_first_of_several_detectors_is_the_default(serve, tiny_run, detector, images):
    strict = Detector.load(tiny_run.folder, device_target="CPU")
    strict.thresholds = {name: value / 4 for name, value in strict.thresholds.items()}
    with Inspector({"normal": detector, "strict": strict}) as inspector, serve(inspector) as client:
        data = images[0].read_bytes()
        default, chosen, other = (
            inspect(client, data, **query) for query in ({}, {"detector": "normal"}, {"detector": "strict"})
        )
        assert default["score"] == chosen["score"] and other["score"] == pytest.approx(4 * default["score"])
        assert [response["detector"] for response in (default, chosen, other)] == ["normal", "normal", "strict"]
        first, second = client.get("/v1/detectors").json()
        assert first == {
            "name": "normal",
            "runtime": "OnnxRuntime",
            "thresholds": detector.thresholds,
            "dataset": "twill",
            "working_size": [64, 64],
            "size": [64, 64],
            "channels": 3,
            "min_area": 1,
            "detectability": None,
        }
        assert (second["name"], second["thresholds"]) == ("strict", strict.thresholds)


def test_metrics(serve, detector, images):
    with Inspector({"twill": detector}) as inspector, serve(inspector) as client:
        for path in images:
            inspect(client, path.read_bytes())
        client.post("/v1/inspect", content=b"", headers=PNG)
        client.get("/no/such/path")
        lines = dict(line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if line[0] != "#")
    verdicts = [detector.inspect(path).verdict for path in images]
    for verdict in set(verdicts):
        name = f'ssim_ae_inspections_total{{detector="twill",verdict="{verdict}"}}'
        assert float(lines[name]) == verdicts.count(verdict)
    assert float(lines['ssim_ae_inspections_total{detector="twill",verdict="error"}']) == 1
    assert float(lines['ssim_ae_inspection_seconds_count{detector="twill"}']) == len(images)
    assert float(lines['ssim_ae_requests_total{path="/v1/inspect",status="200"}']) == len(images)
    assert float(lines['ssim_ae_requests_total{path="/v1/inspect",status="400"}']) == 1
    assert float(lines['ssim_ae_requests_total{path="other",status="404"}']) == 1
    assert float(lines["ssim_ae_queue_slots_used"]) == float(lines["ssim_ae_refused_total"]) == 0


def test_healthz_and_headers(client):
    response = client.get("/healthz")
    assert response.json() == {"status": "ok"}
    assert response.headers["X-Content-Type-Options"] == "nosniff" and "Server" not in response.headers


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/v1/watched", "/v1/watched/1", "/../../etc/passwd", "/v1"])
def test_unknown_paths_return_404(client, path):
    assert client.get(path).status_code == 404
