"""Jobs: images in a bucket, rows in a bucket."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ssim_ae.buckets import store
from ssim_ae.cli import main

from .object_store import assert_input_error


@pytest.fixture
def photos_in_bucket(bucket, fabric_folder) -> dict[str, bytes]:
    """The images in the bucket, by key, and some objects that are none."""
    paths = sorted((fabric_folder / "test" / "good").iterdir())
    images = {f"photos/{number % 2}/{path.name}": path.read_bytes() for number, path in enumerate(paths)}
    for key, data in {**images, "photos/.hidden/a.png": b"", "photos/notes.doc": b"", "photos-2/a.png": b""}.items():
        bucket[key] = data
    return images


def job_rows(bucket, prefix: str):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parts = [data for key, data in bucket.content().items() if key.startswith(prefix) and key.endswith(".parquet")]
    return pa.concat_tables(pq.read_table(pa.BufferReader(part)) for part in parts).sort_by("path").to_pylist()


def test_a_job_from_bucket_to_bucket(bucket, proxy, photos_in_bucket, tiny_run, detector, tmp_path, capsys):
    pytest.importorskip("pyarrow")
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos", "--output", f"s3://{bucket.name}/rows"]
    job += ["--part_images", "2"]
    assert main(job) == 0
    assert "note: skipped: 1 item left by other programs; 1 file of another type" in capsys.readouterr().err
    rows = job_rows(bucket, "rows/")
    assert [row["path"] for row in rows] == sorted(f"s3://{bucket.name}/{key}" for key in photos_in_bucket)
    for row, data in zip(rows, (photos_in_bucket[key] for key in sorted(photos_in_bucket)), strict=True):
        (tmp_path / "a.png").write_bytes(data)
        assert (row["score"], row["size"]) == (detector.inspect(tmp_path / "a.png").score, len(data))
    proxy.requests.clear()
    assert main(job) == 0
    assert not [request for request in proxy.requests if "/photos/" in request], "done: not read again"
    assert not proxy.puts()
    assert job_rows(bucket, "rows/") == rows


def test_a_job_writes_its_pictures_into_the_bucket_once(bucket, proxy, photos_in_bucket, tiny_run, detector, tmp_path):
    pytest.importorskip("pyarrow")
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos", "--output", f"s3://{bucket.name}/rows"]
    job += ["--part_images", "1", "--pictures", "masks", "--threshold_scale", "0.125"]
    assert main(job) == 0
    rows = job_rows(bucket, "rows/")
    for row, key in zip(rows, sorted(photos_in_bucket), strict=True):
        (tmp_path / "a.png").write_bytes(photos_in_bucket[key])
        mask = Image.open(BytesIO(bucket.content()[f"rows/{row['picture']}"]))
        assert np.array_equal(np.asarray(mask) > 0, detector.inspect(tmp_path / "a.png").at(0.125).mask)
    part = min(key for key in bucket.content() if key.startswith("rows/part-"))
    del bucket[part]
    proxy.requests.clear()
    assert main(job) == 0
    assert proxy.puts() == 1, "the missing part, whose picture is there"
    assert job_rows(bucket, "rows/") == rows
    proxy.requests.clear()
    assert main(job) == 0
    assert not proxy.puts()


def test_pictures_between_the_images_of_a_bucket_are_refused(bucket, photos_in_bucket, tiny_run, capsys):
    pytest.importorskip("pyarrow")
    before = bucket.content()
    place = f"s3://{bucket.name}/photos/rows"
    job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/photos/", "--output", place, "--pictures", "masks"]
    assert main(job) == 2
    assert f"{place}: inside s3://{bucket.name}/photos/, whose images are inspected" in capsys.readouterr().err
    assert bucket.content() == before


def test_names_in_a_prefix_are_listed_without_what_is_in_folders(bucket, photos_in_bucket, monkeypatch):
    bucket["photos/"] = b""  # a marker of an empty folder
    opened = store.ObjectStore("s3", bucket.name, "photos")
    original, pages = opened.file_system.call_s3, []

    def small_pages(method, **options):
        pages.append(original(method, **options, MaxKeys=2))
        return pages[-1]

    monkeypatch.setattr(opened.file_system, "call_s3", small_pages)
    assert sorted(opened.names()) == [".hidden", "0", "1", "notes.doc"]
    assert len(pages) > 1
    assert not list(store.ObjectStore("s3", bucket.name, "none").names())


def test_a_job_lists_page_by_page(bucket, photos_in_bucket, monkeypatch):
    opened = store.ObjectStore("s3", bucket.name, "photos")
    original, pages = opened.file_system.call_s3, []

    def small_pages(method, **options):
        pages.append(original(method, **options, **({"MaxKeys": 2} if method == "list_objects_v2" else {})))
        return pages[-1]

    monkeypatch.setattr(opened.file_system, "call_s3", small_pages)
    names = [name for name, _ in opened.iterate()]
    assert names == sorted(opened.list_objects())
    assert len(pages) > len(names) / 2 - 1


def test_a_job_of_an_unreachable_store_ends_and_writes_no_row(bucket, proxy, photos_in_bucket, tiny_run, tmp_path):
    """Images whose content cannot be read for lack of a store are not faulty."""
    pytest.importorskip("pyarrow")
    from ssim_ae.batch import rows
    from ssim_ae.batch.listing import Listing

    images = list(Listing([f"s3://{bucket.name}/photos"]))
    rows._store.cache_clear()
    proxy.close()
    with pytest.raises(ConnectionError, match="photos"):
        rows.read_content(images[0])
    rows._store.cache_clear()


def test_an_object_that_changed_after_the_listing_or_is_gone(bucket, photos_in_bucket):
    pytest.importorskip("pyarrow")
    from ssim_ae.batch import rows
    from ssim_ae.batch.listing import Listing

    rows._store.cache_clear()
    images = list(Listing([f"s3://{bucket.name}/photos"]))
    first, second = sorted(photos_in_bucket)[:2]
    bucket[first] = b"other"
    del bucket[second]
    for image in images[:2]:
        assert_input_error(lambda image=image: rows.read_content(image), "no such object, or changed since")
    assert rows.read_content(images[2]) == photos_in_bucket[sorted(photos_in_bucket)[2]]
    rows._store.cache_clear()


def test_a_job_without_an_image(bucket, tiny_run, capsys):
    pytest.importorskip("pyarrow")
    bucket["other/a.doc"] = b""
    for key in ("none", "other"):
        job = ["predict", str(tiny_run.folder), f"s3://{bucket.name}/{key}", "--output", f"s3://{bucket.name}/rows"]
        assert main(job) == 2
        assert f"s3://{bucket.name}/{key}: no images found" in capsys.readouterr().err
    assert set(bucket.content()) == {"other/a.doc"}
