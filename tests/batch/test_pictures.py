"""Pictures of the nok images of a job: named by content, written once, before the rows that name them."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from ssim_ae.batch import pictures
from ssim_ae.batch.place import open_place
from ssim_ae.cli import main
from ssim_ae.commands import jobs

STRICT = ["--threshold_scale", "0.125"]  # all images are nok


@pytest.fixture
def images(photos, tmp_path) -> Path:
    """Two different images of one name, and a copy of one of them."""
    first, second = sorted((photos / "late").iterdir())[:2]
    for source, name in ((first, "a/1.png"), (second, "b/1.png"), (first, "b/2.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, path)
    return tmp_path / "images"


@pytest.fixture
def run(tiny_run, images, tmp_path, monkeypatch, capsys):
    """Run `predict` with `--output parts`; return the exit status, what it prints and the errors."""
    monkeypatch.chdir(tmp_path)

    def run(*options: object) -> tuple[int, str, str]:
        command = ["predict", tiny_run.folder, images, "--output", "parts", "--part_images", 1, *options]
        return main([*map(str, command)]), *capsys.readouterr()

    return run


def rows() -> list[dict]:
    return pa.concat_tables(map(pq.read_table, Path("parts").glob("*.parquet"))).sort_by("path").to_pylist()


def files() -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in Path("parts").rglob("*.p*")}


def name_of(path: str, suffix: str = "_mask.png") -> str:
    return f"pictures/{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:24]}{suffix}"


def test_the_option_has_the_kinds_that_there_are():
    assert tuple(pictures.KINDS) == jobs.PICTURES


@pytest.mark.parametrize("kind", jobs.PICTURES)
def test_each_nok_image_has_its_picture(run, detector, kind):
    assert run("--pictures", kind, *STRICT)[0] == 0
    for row in rows():
        inspection = detector.inspect(row["path"]).at(0.125)
        pixels = {"masks": inspection.mask * 255, "heatmaps": inspection.heatmap, "overlays": inspection.overlay}
        assert row["picture"] == name_of(row["path"], f"_{kind.removesuffix('s')}.png")
        assert np.array_equal(np.asarray(Image.open(Path("parts") / row["picture"])), pixels[kind])
    assert len(list(Path("parts/pictures").iterdir())) == 2, "equal images share one"


def test_ok_images_have_none(run):
    run("--pictures", "masks", "--threshold_scale", 8)
    assert [row["picture"] for row in rows()] == ["", "", ""]
    assert not list(Path("parts/pictures").iterdir())


def test_without_the_option_there_is_none(run):
    run(*STRICT)
    assert {row["picture"] for row in rows()} == {""}
    assert not Path("parts/pictures").exists()


def test_a_job_that_is_started_again_writes_nothing_twice(run):
    run("--pictures", "masks", *STRICT)
    before = files()
    assert run("--pictures", "masks", *STRICT)[0] == 0
    assert files() == before
    removed = min(Path("parts").glob("*.parquet"))  # as if the job had been killed after it had written the pictures
    removed.unlink()
    run("--pictures", "masks", *STRICT)
    after = files()
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}
    assert [name for name in after if after[name] != before[name]] == [str(removed)]


def test_rows_are_written_after_their_pictures(run, monkeypatch):
    written = []
    place = type(open_place("parts"))
    write = place.write
    monkeypatch.setattr(place, "write", lambda self, name, data: written.append(name) or write(self, name, data))
    run("--pictures", "masks", *STRICT)
    kinds = ["row" if name.startswith("part-") else "picture" for name in written if "json" not in name]
    assert kinds == ["picture", "row", "picture", "row", "row"]


def test_a_picture_that_cannot_be_written_is_the_error_of_its_row(run, images):
    run("--pictures", "masks", *STRICT)
    expected = rows()
    path = images / "b" / "1.png"
    picture = Path("parts") / name_of(path)
    picture.unlink()
    picture.symlink_to("/dev/full")  # no space left on device
    (part,) = (part for part in Path("parts").glob("*.parquet") if str(path) in pq.read_table(part)["path"].to_pylist())
    part.unlink()
    status, out, _ = run("--pictures", "masks", *STRICT)
    assert status == 2
    assert "3 images: 0 ok, 3 nok, 0 error" in out
    assert "  1 x picture cannot be written: No space left on device\n" in out
    error = f"{path}: picture cannot be written: No space left on device"
    for row, before in zip(rows(), expected, strict=True):
        assert row == ({**before, "picture": "", "error": error} if row["path"] == str(path) else before)


def test_pictures_beside_the_images_are_refused(tiny_run, images, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("link").symlink_to("images")
    for given in (["images"], [images], ["images/*/*.png"], ["images/a/1.png", "images/b"], ["link"]):
        command = ["predict", tiny_run.folder, *given, "--output", "images/b/parts", "--pictures", "masks"]
        assert main([*map(str, command)]) == 2
        _, err = capsys.readouterr()
        assert err == (
            f"ssim-ae: images/b/parts: inside {given[-1]}, whose images are inspected; write the pictures to another "
            "place\n"
        )
    assert not Path("images/b/parts").exists()
    beside = ["predict", str(tiny_run.folder), "images/b/*.png", "--output", "images/b/p", "--pictures", "masks"]
    assert main(beside) == 0


def test_pictures_are_no_images(run, tiny_run, capsys):
    run("--pictures", "heatmaps", *STRICT)
    for given in ("parts/pictures", "parts"):
        assert main(["predict", str(tiny_run.folder), given, "--output", "other"]) == 2
        assert "parts" in capsys.readouterr().err
    assert not Path("other").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--output", "a.parquet"], "a.parquet: --pictures needs a folder or a prefix of a bucket; name one"),
        ([], "--pictures: no place for the rows; name a folder or a prefix of a bucket with --output"),
    ],
)
def test_a_place_is_needed(tiny_run, images, options, message, capsys, tmp_path):
    assert main(["predict", str(tiny_run.folder), str(images), "--pictures", "masks", *options]) == 2
    assert capsys.readouterr().err == f"ssim-ae: {message}\n"


def test_another_kind_is_another_job(run):
    run("--pictures", "masks")
    for options in (["--pictures", "heatmaps"], []):
        status, _, err = run(*options)
        assert (status, err.count("\n")) == (2, 1)
        assert "parts: holds the rows of another job (pictures); name another place" in err
