"""Files of buckets: what is fetched and put, what is transferred again, and what is removed."""

import shutil
import threading

import numpy as np
import pytest
import s3fs

from ssim_ae.buckets import cache_folder, fetch, put, state

from .object_store import FILES, assert_input_error, content, write_files


def test_folder_round_trip(bucket, proxy, tmp_path):
    folder = write_files(tmp_path / "here", FILES)
    put(folder, f"s3://{bucket.name}/data/set")
    assert bucket.content() == {f"data/set/{name}": data for name, data in FILES.items()}
    assert fetch(f"s3://{bucket.name}/data/set/", tmp_path / "there") == tmp_path / "there"
    assert content(tmp_path / "there") == FILES
    assert fetch(f"s3://{bucket.name}", tmp_path / "all") == tmp_path / "all"
    assert content(tmp_path / "all" / "data" / "set") == FILES
    listings = [request for request in proxy.requests if "list-type" in request]
    assert len(listings) == 2  # one per fetch; put requests its own names only


def test_object_round_trip(bucket, tmp_path):
    url = f"s3://{bucket.name}/runs/cloth-1/detector.safetensors"
    bucket["runs/cloth-1/detector.safetensors.old"] = b"another"
    put(write_files(tmp_path, {"here": b"detector"}) / "here", url)
    for folder in (tmp_path / "there", cache_folder(url)):
        assert fetch(url, folder) == folder / "detector.safetensors"
        assert content(folder) == {"detector.safetensors": b"detector"}
    assert fetch(url) == cache_folder(url) / "detector.safetensors"


def test_only_changed_objects_are_fetched(bucket, proxy, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(url, folder)
    assert proxy.gets() == len(FILES)
    fetch(url, folder)
    assert proxy.gets() == len(FILES)
    bucket["set/train/good/000.png"] = b"neu"  # same size
    bucket["set/new.png"] = b"new"
    fetch(url, folder)
    assert proxy.gets() == len(FILES) + 2
    assert content(folder) == {**FILES, "train/good/000.png": b"neu", "new.png": b"new"}
    (folder / "a/b/c/d/e.txt").write_bytes(b"4444")  # changed locally: fetched again
    fetch(url, folder)
    assert content(folder)["a/b/c/d/e.txt"] == b"four"
    shutil.rmtree(folder / ".fetched")
    before = proxy.gets()
    fetch(url, folder)
    assert proxy.gets() == before


def test_files_of_deleted_objects_are_deleted(bucket, tmp_path):
    for name, data in FILES.items():
        bucket[f"set/{name}"] = data
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    fetch(f"{url}/", folder)
    fetch(f"{url}/a", folder)  # another URL in the same folder
    (folder / "mine.txt").write_bytes(b"mine")
    for name in ("train/good/000.png", "train/good/001.png", "a/b/c/d/e.txt"):
        del bucket[f"set/{name}"]
    bucket["set/train"] = b"a file where there was a folder"
    bucket["set/empty/"] = b""  # the marker of an empty folder
    fetch(url, folder)
    assert content(folder).keys() == {*FILES, "mine.txt", "train", "b/c/d/e.txt"} - {
        "train/good/000.png",
        "train/good/001.png",
        "a/b/c/d/e.txt",
    }


def test_files_of_a_killed_fetch_are_deleted(bucket, tmp_path, monkeypatch):
    bucket["set/old.png"], bucket["set/new.png"] = b"old", b"new"
    url, folder = f"s3://{bucket.name}/set", tmp_path / "there"
    with monkeypatch.context() as patch:
        writes = []

        def killed_after_one(path, data):
            writes.append(path)
            if len(writes) == 1:
                path.write_text(data)

        patch.setattr(state, "write_atomic", killed_after_one)
        fetch(url, folder)
    assert len(writes) == 2
    (folder / ".fetched" / ".0123456789ab.ssim-ae.part").write_bytes(b"half")
    del bucket["set/old.png"]
    fetch(url, folder)
    assert content(folder) == {"new.png": b"new"}
    assert not list((folder / ".fetched").glob(".*"))


def test_only_changed_files_are_put(bucket, proxy, tmp_path):
    folder = write_files(tmp_path / "here", FILES)
    url = f"s3://{bucket.name}/runs/x-1"
    put(folder, url)
    assert proxy.puts() == len(FILES)
    put(folder, url)
    assert proxy.puts() == len(FILES)
    (folder / "train/good/000.png").write_bytes(b"neu")
    (folder / "a/b/c/d/e.txt").unlink()  # kept in the bucket
    write_files(folder, {".fetched/lock": b"", "train/.x.png.ab12.ssim-ae.part": b"half", ".hidden": b"x"})
    put(folder, url)
    assert proxy.puts() == len(FILES) + 2
    expected = {**FILES, "train/good/000.png": b"neu", ".hidden": b"x"}
    assert bucket.content() == {f"runs/x-1/{name}": data for name, data in expected.items()}


@pytest.mark.long
def test_object_of_a_multipart_upload(bucket, proxy, tmp_path, rng):
    """Its ETag is not an MD5, so only the record identifies the fetched file."""
    data = rng.integers(0, 256, 10 * 2**20 + 1, np.uint8).tobytes()
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data, chunksize=5 * 2**20)
    assert bucket.files.info(f"{bucket.name}/x.bin")["ETag"].endswith('-3"')
    for _ in range(2):
        fetch(f"s3://{bucket.name}", tmp_path / "there")
        assert content(tmp_path / "there") == {"x.bin": data}
        assert proxy.gets() == 1
    bucket.files.pipe_file(f"{bucket.name}/x.bin", data[::-1], chunksize=5 * 2**20)
    fetch(f"s3://{bucket.name}", tmp_path / "there")
    assert content(tmp_path / "there") == {"x.bin": data[::-1]}
    for puts in (1, 1):  # put does not use multipart uploads, so the MD5 is known
        put(tmp_path / "there", f"s3://{bucket.name}")
        assert proxy.puts() == puts


@pytest.mark.long
def test_etag_that_looks_like_an_md5_but_is_not(bucket, proxy, tmp_path, monkeypatch):
    bucket["x.png"] = b"one"
    real = bucket.files.info(f"{bucket.name}/x.png")["ETag"].strip('"').encode()
    proxy.replacements = {real: b"0" * 32}
    url = f"s3://{bucket.name}"
    assert_input_error(lambda: fetch(url, tmp_path / "there"), "corrupted in transfer")
    assert_input_error(lambda: put(write_files(tmp_path / "here", {"x.png": b"one"}), url), "corrupted in transfer")
    call = s3fs.S3FileSystem.call_s3
    monkeypatch.setattr(
        s3fs.S3FileSystem, "call_s3", lambda *args, **given: {**call(*args, **given), "ServerSideEncryption": "aws:kms"}
    )
    for _ in range(2):
        fetch(url, tmp_path / "there")
        assert content(tmp_path / "there") == {"x.png": b"one"}
        gets = proxy.gets()
    assert proxy.gets() == gets
    put(tmp_path / "there", url)


def test_key_outside_the_folder_is_an_error(bucket, tmp_path, monkeypatch):
    bucket["set/fine.png"] = b"fine"
    find = s3fs.S3FileSystem.find
    for key in ("../x.png", "a/../../x.png", "/x.png", ".fetched/lock"):

        def found(files, path, bad=f"{bucket.name}/set/{key}", **how):
            """The listing of a store with such a key; Swift rejects some of them."""
            return {**find(files, path, **how), bad: {"size": 4, "ETag": '"00"'}}

        monkeypatch.setattr(s3fs.S3FileSystem, "find", found)
        assert_input_error(
            lambda: fetch(f"s3://{bucket.name}/set", tmp_path / "a" / "b"),
            f"^s3://{bucket.name}/set: the key '{key}' is not a valid file name",
        )
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("forged", ['{"../mine.txt": ["", 0]}', "[]"])
def test_forged_record_deletes_nothing_outside_the_folder(bucket, tmp_path, forged):
    bucket["set/x.png"] = b"x"
    write_files(tmp_path, {"mine.txt": b"mine"})
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    (record,) = (tmp_path / "there" / ".fetched").glob("*.json")
    record.write_text(forged)
    fetch(f"s3://{bucket.name}/set", tmp_path / "there")
    assert (tmp_path / "mine.txt").exists()


@pytest.mark.long
def test_concurrent_fetches_download_once(bucket, proxy, tmp_path):
    """As by several processes of one training: the first downloads, the others find the files."""
    files = {f"{index:03d}.png": bytes([index]) * 1000 for index in range(30)}
    put(write_files(tmp_path / "here", files), f"s3://{bucket.name}/set")
    threads = [threading.Thread(target=fetch, args=(f"s3://{bucket.name}/set",)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert content(cache_folder(f"s3://{bucket.name}/set")) == files
    assert proxy.gets() == len(files)
