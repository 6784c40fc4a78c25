"""The commands, with data sets, runs and outputs in a bucket."""

import re
import shutil
import tempfile
from pathlib import Path

import pytest

from ssim_ae import locations
from ssim_ae.buckets import put
from ssim_ae.cli import main
from ssim_ae.errors import InputError

SETTINGS = "method=reference im_resize=64 crop_size=32 z_dim=8 flc=4 augment_num=64 batch_size=16 epochs=1 stride=16"


SMALL = [f"--{setting}" for setting in SETTINGS.split()]


@pytest.fixture
def dataset_url(bucket, fabric_folder) -> str:
    """The URL of a data set in the bucket."""
    put(fabric_folder, f"s3://{bucket.name}/data/twill")
    return f"s3://{bucket.name}/data/twill"


def test_commands_read_and_write_a_bucket(bucket, proxy, dataset_url, tmp_path, monkeypatch, capsys):
    """The connection is cut during the download of the data set."""
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "modelarts.yaml"
    config.write_text(
        f"model_arts: True\ndata_url: {dataset_url}\ntrain_url: s3://{bucket.name}/results\n"
        "device_target: CPU\nmask_suffix: _mask.png\n"
    )
    proxy.cuts, proxy.mark = 2, b"IEND"  # in each PNG
    assert main(["train", f"--config_path={config}", *SMALL]) == 0
    assert proxy.cuts == 0
    names = {key.rpartition("/")[2]: key for key in bucket.content() if key.startswith("results/twill-1-")}
    assert {"detector.safetensors", "config.yaml", "history.csv", "metrics.json", "contact_sheet.png"} <= names.keys()
    run = f"s3://{bucket.name}/{names['detector.safetensors'].rpartition('/')[0]}"

    assert main(["evaluate", run, dataset_url, f"--save_dir=s3://{bucket.name}/pictures"]) == 0
    assert main(["predict", run, f"{dataset_url}/test/good", "--csv", f"s3://{bucket.name}/tables/good.csv"]) == 0
    assert main(["export", run, "--output", f"s3://{bucket.name}/edge/detector.onnx"]) == 0
    assert main(["predict", f"s3://{bucket.name}/edge/detector.onnx", f"{dataset_url}/test/good/000.png"]) == 0
    stored = bucket.content()
    assert b"000.png" in stored["tables/good.csv"]
    assert any(key.startswith("pictures/twill-1-") and key.endswith("metrics.csv") for key in stored)
    assert not (tmp_path / "runs").exists() and not (tmp_path / "output").exists()


def test_run_in_a_bucket_is_resumed(bucket, proxy, dataset_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", dataset_url, *SMALL, "--runs", f"s3://{bucket.name}/runs", "--device_target=CPU"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"s3://{bucket.name}/{config.rpartition('/')[0]}"
    before = proxy.puts()
    assert main(["train", "--resume", run, "--epochs", "+1"]) == 0
    assert proxy.puts() > before


def test_images_are_added_to_a_run_in_a_bucket(bucket, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = ["--method=features", "--im_resize=64", "--drawn_defects=0", "--run_eval=False"]
    url = f"s3://{bucket.name}"
    assert main(["train", f"{dataset_url}/train/good", *settings, "--runs", f"{url}/runs"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"{url}/{config.rpartition('/')[0]}"
    capsys.readouterr()
    assert main(["train", "--add", f"{dataset_url}/test/good", run]) == 0
    assert capsys.readouterr().out.startswith("added 4 good images to 10 (3 for training, 1 held out)")
    stored = bucket.content()
    assert sum("/versions/" in key for key in stored) == 2 and b"more_paths: []" not in stored[config]
    assert main(["train", "--add", f"{dataset_url}/test/good", run]) == 0
    assert capsys.readouterr().out.startswith("added no images: the run keeps its 14 good images")


def test_thresholds_of_a_run_in_a_bucket_are_set_there(bucket, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["train", dataset_url, *SMALL, "--runs", f"s3://{bucket.name}/runs", "--device_target=CPU"]) == 0
    (config,) = [key for key in bucket.content() if key.endswith("config.yaml")]
    run = f"s3://{bucket.name}/{config.rpartition('/')[0]}"
    given = ["--ssim_threshold", "9", "--l1_threshold", "9"]
    assert main(["threshold", run, *given]) == 0
    assert sum("/versions/" in key for key in bucket.content()) == 2
    assert main(["threshold", f"{run}/detector.safetensors", *given]) == 2
    assert "--output: required for a detector file in an object store" in capsys.readouterr().err


def test_results_that_cannot_be_uploaded_are_kept(bucket, proxy, dataset_url, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b/x: no answer")))
    assert main(["train", dataset_url, *SMALL, "--runs", "s3://none/runs", "--device_target=CPU"]) == 2
    kept = re.search(r"s3://b/x: no answer; the results are in (\S+)", capsys.readouterr().err)[1]
    assert (Path(kept) / "detector.safetensors").is_file()


def test_file_that_cannot_be_uploaded_is_kept(monkeypatch):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    raises = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with raises as caught, locations.local_output("s3://b/table.csv") as path:
        path.write_text("kept")
    folder = Path(str(caught.value).rpartition(" ")[2])
    assert (folder / "table.csv").read_text() == "kept"
    shutil.rmtree(folder)


def test_all_outputs_are_kept_if_one_cannot_be_uploaded(monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.locations.put", lambda *_: (_ for _ in ()).throw(InputError("s3://b: no answer")))
    raises = pytest.raises(InputError, match="s3://b: no answer; the results are in ")
    with (
        raises,
        locations.local_output("s3://b/table.csv") as table,
        locations.local_output("s3://b/list.json") as document,
    ):
        table.write_text("kept")
        document.write_text("kept too")
    folder = Path(re.search(r"s3://b/table.csv: not uploaded; the output is in (\S+)", capsys.readouterr().err)[1])
    assert (folder / "table.csv").read_text() == "kept"


def test_no_scratch_folder_is_left_without_output(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(InputError, match="no detector"), locations.local_output("s3://b/table.csv"):
        raise InputError("no detector")
    assert not list(tmp_path.iterdir()) and not capsys.readouterr().err
