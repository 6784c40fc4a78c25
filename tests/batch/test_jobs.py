"""`predict --output`: one Parquet file, or parts that are written once."""

import json
import shutil
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssim_ae.batch import cluster, work
from ssim_ae.cli import main
from ssim_ae.commands import jobs
from ssim_ae.detector.predictions import predict
from ssim_ae.errors import InputError


@pytest.fixture
def run(tiny_run, photos, tmp_path, monkeypatch, capsys):
    """Run `predict` on the photos; return the exit status, the printed lines and the errors."""
    monkeypatch.chdir(tmp_path)

    def run(*options: object, images: object = photos) -> tuple[int, str, str]:
        status = main(["predict", str(tiny_run.folder), str(images), *map(str, options)])
        return status, *capsys.readouterr()

    return run


def test_bad_input_is_said_before_a_cluster_starts(run, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "import_packages", lambda _: None)  # Ray is not needed
    monkeypatch.setattr(jobs, "_cluster", lambda _: pytest.fail("a cluster starts"))
    for name, file in (("empty", "notes.md"), ("other", "notes.txt")):
        (tmp_path / name).mkdir()
        (tmp_path / name / file).write_text("text")
    status, _, error = run("--output", "parts", "--ray", images="empty")
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("ssim-ae: empty: no images found")
    assert not (tmp_path / "parts").exists()
    status, _, error = run("--output", "other", "--ray")
    assert (status, error.count("\n")) == (2, 1)
    assert error.endswith("/other: holds other files, such as notes.txt; name an empty place\n")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_a_cluster_that_does_not_start_is_one_line(monkeypatch):
    def init(**_: object) -> None:
        raise Exception("The current node timed out.\nMore.")

    monkeypatch.setattr(cluster, "import_ray", lambda **_: SimpleNamespace(init=init))
    with pytest.raises(InputError, match=r"--ray local: Ray does not start \(The current node timed out\.\)$"):
        cluster.cluster("local").__enter__()


def read(place) -> pa.Table:
    files = sorted(place.glob("*.parquet")) if place.is_dir() else [place]
    return pa.concat_tables(pq.read_table(file) for file in files).sort_by("path")


def test_a_file_and_parts_hold_the_rows_of_predict(run, detector, photos, tmp_path):
    status, out, _ = run("--output", "a.parquet")
    assert status == 2, "one image is broken"
    assert "1 error" in out
    assert "1 x not an image" in out
    assert run("--output", "parts", "--part_images", 1)[0] == 2
    table = read(tmp_path / "a.parquet")
    assert read(tmp_path / "parts").equals(table)
    assert len(list((tmp_path / "parts").glob("part-*.parquet"))) == len(table)
    predictions = list(predict(detector, sorted(photos.rglob("*.png"))))
    assert table["path"].to_pylist() == [prediction.path for prediction in predictions]
    assert table["score"].to_pylist() == [prediction.score for prediction in predictions]


def test_what_is_done_is_not_done_again(run, tmp_path, monkeypatch, photos):
    run("--output", "parts", "--part_images", 1)
    first, *others = sorted((tmp_path / "parts").glob("part-*.parquet"))
    expected = read(tmp_path / "parts")
    times = [path.stat().st_mtime_ns for path in others]
    missing = pq.read_table(first).num_rows
    first.unlink()
    inspected = []
    original = work.inspect_images
    monkeypatch.setattr(
        work, "inspect_images", lambda *given, **options: inspected.extend(given[1]) or original(*given, **options)
    )
    _, out, _ = run("--output", "parts", "--part_images", 1)
    assert len(inspected) == missing
    assert f"{len(expected) - missing} images inspected by an earlier start" in out
    assert read(tmp_path / "parts").equals(expected)
    assert [path.stat().st_mtime_ns for path in others] == times


def test_added_images_are_inspected_and_changed_ones_are_said(run, photos, tmp_path):
    images = shutil.copytree(photos, tmp_path / "images")
    run("--output", "parts", "--part_images", 1000, images=images)
    shutil.copy(min((photos / "late").iterdir()), images / "late" / "z.png")
    status, _, err = run("--output", "parts", "--part_images", 1000, images=images)
    assert status == 2
    assert "parts: holds rows of images that have changed or are gone since, in 1 file (part-" in err
    name = err.partition("(")[2].partition(")")[0]
    (tmp_path / "parts" / name).unlink()
    run("--output", "parts", "--part_images", 1000, images=images)
    assert len(read(tmp_path / "parts")) == len(list(images.rglob("*.png")))


def test_lists_and_patterns(run, photos, tmp_path):
    paths = sorted(map(str, photos.rglob("*.png")))
    (tmp_path / "list.txt").write_text("\n".join([*paths, "missing.png", ""]))
    run("--output", "list.parquet", images="list.txt")
    table = read(tmp_path / "list.parquet")
    assert sorted(table["path"].to_pylist()) == sorted([*paths, "missing.png"])
    run("--output", "pattern.parquet", images=f"{photos}/*/*.png")
    assert read(tmp_path / "pattern.parquet")["path"].to_pylist() == paths


def test_what_is_skipped_is_said(run, photos, tmp_path):
    images = shutil.copytree(photos, tmp_path / "images")
    (images / "notes.doc").write_text("")
    assert "note: skipped: 1 file of another type" in run("--output", "a.parquet", images=images)[2]


def test_the_exit_status_with_defective_images(run, photos):
    images = photos / "late"
    assert run("--output", "a.parquet", images=images)[0] == 0
    assert run("--output", "a.parquet", "--threshold_scale", 0.125, "--fail-on-nok", images=images)[0] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "rows.xls"], "rows.xls: unknown suffix .xls; use .parquet, or end the name of a folder with /"),
        (["--output", "a.parquet", "--csv", "b.csv"], "--output: cannot be combined with --csv; start two commands"),
        (["--output", "a", "--log", "line"], "--output: cannot be combined with --log; start two commands"),
        (["--output", "a", "--part_images", "0"], "--part_images: should be at least 1, not 0"),
        (["--ray"], "--ray: no place for the rows; name a folder or a prefix of a bucket with --output"),
        (["--output", "a.parquet", "--ray"], "a.parquet: --ray writes parts; name a folder or a prefix of a bucket"),
    ],
)
def test_wrong_options(run, tmp_path, options, message):
    assert run(*options) == (2, "", f"ssim-ae: {message}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--distance_threshold=30", "--img_suffix=.png", "--save_dir=out"])
def test_settings_that_an_evaluation_with_ray_does_not_use(tiny_run, capsys, option):
    assert main(["evaluate", str(tiny_run.folder), "labels.csv", "--ray", option]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {option.partition('=')[0]}: no effect with --ray; leave it out\n"


@pytest.mark.parametrize("kind", ["folder", "list", "pattern"])
def test_no_image(run, tmp_path, kind):
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("\n")
    images = {"folder": "empty", "list": "list.txt", "pattern": "empty/*.png"}[kind]
    for output in ("a.parquet", "parts"):
        status, _, err = run("--output", output, images=images)
        assert (status, err) == (2, f"ssim-ae: {images}: no images found\n")
        assert not (tmp_path / output).exists()


def test_images_that_would_be_listed_twice(tiny_run, photos, tmp_path, capsys):
    places = [str(photos), str(photos / "early")]
    assert main(["predict", str(tiny_run.folder), *places, "--output", str(tmp_path / "a.parquet")]) == 2
    assert f"{photos / 'early'}: given twice, also as {photos}" in capsys.readouterr().err


def test_a_place_with_other_content_is_left_as_it_is(run, photos, tmp_path):
    def content() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    run("--output", "parts")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "a.txt").write_text("")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "job.json").write_text("[")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    (tmp_path / "text.parquet").write_text("text")
    before = content()
    other = "holds the rows of another job"
    for options, images, message in (
        (["--output", "parts", "--threshold_scale", 1.5], photos, f"parts: {other} (threshold)"),
        (["--output", "parts", "--part_images", 9], photos, f"parts: {other} (part_images)"),
        (["--output", "parts"], photos / "late", f"parts: {other} (images)"),
        (["--output", "foreign"], photos, "foreign: holds other files, such as a.txt; name an empty place"),
        (["--output", "damaged"], photos, f"damaged: {other} (job.json is not readable)"),
        (["--output", "foreign.parquet"], photos, "foreign.parquet: exists, and ssim-ae did not write it"),
        (["--output", "text.parquet"], photos, "text.parquet: exists, and ssim-ae did not write it"),
        (["--output", "foreign/a.txt/"], photos, "foreign/a.txt: a file; name a folder"),
    ):
        status, out, err = run(*options, images=images)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert message in err
        assert content() == before


def test_another_detector(run, features_run, photos, tmp_path, capsys):
    run("--output", "parts")
    assert main(["predict", str(features_run.folder), str(photos), "--output", "parts"]) == 2
    assert "parts: holds the rows of another job (detector); name another place" in capsys.readouterr().err


def test_job_json_says_what_the_rows_are_of(run, detector, photos, tmp_path):
    run("--output", "parts")
    job = json.loads((tmp_path / "parts" / "job.json").read_text())
    assert job == {"detector": detector.fingerprint, "threshold": 1.0, "images": [str(photos)], "part_images": 256}


def test_the_summary_is_that_of_all_starts(run, photos, tmp_path):
    images, place = photos / "late", tmp_path / "parts"
    run("--output", "parts", "--part_images", 1, images=images)
    summary = json.loads((place / "summary.json").read_text())
    count = len(list(images.iterdir()))
    assert (summary["images"], summary["ok"] + summary["nok"], summary["error"]) == (count, count, 0)
    assert sum(summary["scores"]["images"]) == count
    assert sum(summary["scores"]["calibration"]) == 2
    before = (place / "summary.json").stat().st_mtime_ns
    _, out, _ = run("--output", "parts", "--part_images", 1, images=images)
    assert f"{count} images: " in out
    assert " images/s" not in out, "nothing was inspected"
    assert (place / "summary.json").stat().st_mtime_ns == before
    (place / "summary.json").write_text("[")
    min(place.glob("*.parquet")).unlink()
    run("--output", "parts", "--part_images", 1, images=images)
    again = json.loads((place / "summary.json").read_text())
    assert {**again, "rates": None} == {**summary, "rates": None}


def test_a_part_without_the_column_of_pictures_is_counted(run, photos, tmp_path):
    """An earlier version did not have it."""
    run("--output", "parts", images=photos / "late")
    (part,) = (tmp_path / "parts").glob("*.parquet")
    pq.write_table(pq.read_table(part).drop_columns(["picture"]), part)
    status, out, _ = run("--output", "parts", images=photos / "late")
    assert (status, f"\n{len(list((photos / 'late').iterdir()))} images: " in out) == (0, True)


@pytest.mark.parametrize("damage", ["empty", "cut", "header", "foreign"])
def test_a_damaged_part_of_an_earlier_start_is_said(run, photos, tmp_path, damage):
    run("--output", "parts", images=photos / "late")
    (part,) = (tmp_path / "parts").glob("*.parquet")
    data = part.read_bytes()
    contents = {"empty": b"", "cut": data[:-20], "header": data[: len(data) // 2] + data[len(data) // 2 + 9 :]}
    if damage == "foreign":
        pq.write_table(pa.table({"path": ["a.png"]}), part)
    else:
        part.write_bytes(contents[damage])
    status, out, err = run("--output", "parts", images=photos / "late")
    assert (status, out) == (2, "")
    assert err == f"ssim-ae: {tmp_path / 'parts'}: {part.name} is damaged; remove it and start again\n"
    part.unlink()
    assert run("--output", "parts", images=photos / "late")[0] == 0


@pytest.mark.parametrize(("module", "packages"), [("pyarrow", "pyarrow"), ("ray", "'ray[data]'")])
def test_a_missing_package_is_named(run, monkeypatch, module, packages):
    monkeypatch.setitem(sys.modules, "ray", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, module, None)
    status, _, err = run("--output", "parts", "--ray")
    assert (status, err) == (2, f"ssim-ae: {module} is not installed; pip install {packages}\n")
