"""Manifests: images with labels, and the metrics of `evaluate --ray`."""

import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ssim_ae.batch import cluster
from ssim_ae.batch.manifest import read_manifest
from ssim_ae.cli import main
from ssim_ae.errors import InputError
from ssim_ae.evaluation.metrics import Verdicts, auroc


def test_csv_and_parquet_hold_the_same(tmp_path):
    labels = ["good", "OK", "0", "defective", "nok", "1"]
    paths = [f"{number}, ä.png" for number in range(6)]
    rows = "".join(f'"{path}",{label},x\n' for path, label in zip(paths, labels, strict=True))
    (tmp_path / "a.csv").write_text(f"path,label,more\n{rows}", encoding="utf-8")
    pq.write_table(pa.table({"label": labels, "path": paths}), tmp_path / "a.parquet")
    for name in ("a.csv", "a.parquet"):
        images = list(read_manifest(str(tmp_path / name)))
        assert [image.location for image in images] == paths
        assert [image.label for image in images] == ["good"] * 3 + ["defective"] * 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", None, "no such file; name a .csv or .parquet file"),
        ("a.txt", "a.png good", "not a manifest; name a .csv or .parquet file"),
        ("a.csv", "file,label\na.png,good\n", "no column path; a manifest has the columns path and label"),
        ("a.csv", "", "no column path"),
        ("a.csv", "path,label\na.png,fine\n", "row 1: label 'fine'; should be good or defective"),
        ("a.csv", "path,label\na.png,good\nb.png\n", "row 2: label ''; should be good or defective"),
        ("a.csv", "path,label\n", "no images in it"),
        ("a.parquet", "text", "not a Parquet file, or corrupt"),
    ],
)
def test_a_manifest_that_cannot_be_used(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    with pytest.raises(InputError) as caught:
        list(read_manifest(str(path)))
    assert str(caught.value).startswith(f"{path}: {message}")


def test_metrics_are_those_of_the_scores(tiny_run, detector, fabric_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ssim_ae.commands.jobs.import_packages", lambda _: None)
    monkeypatch.setattr(cluster, "cluster", lambda _: nullcontext())
    monkeypatch.setattr(
        cluster, "map_on_cluster", lambda function, work, parts, **_: (function(work, part) for part in parts)
    )
    paths = sorted((fabric_folder / "test").rglob("*.png"))
    defective = [path.parent.name != "good" for path in paths]
    rows = "".join(f"{path},{int(label)}\n" for path, label in zip(paths, defective, strict=True))
    (tmp_path / "a.csv").write_text(f"path,label\n{rows}missing.png,good\n")
    assert main(["evaluate", str(tiny_run.folder), str(tmp_path / "a.csv"), "--ray"]) == 2
    out, err = capsys.readouterr()
    scores = [detector.inspect(path).score for path in paths]
    verdicts = Verdicts.of(scores, defective)
    assert f"{len(paths)} images: {verdicts.good} good, {verdicts.defective} defective; 1 errors" in out
    assert f"image AUROC  {auroc(scores, defective):.4f}\n" in out
    assert f"ok           {verdicts.ok:.4f}  " in out
    assert f"nok          {verdicts.nok:.4f}  " in out
    assert f"avg          {verdicts.avg:.4f}\n" in out
    assert "error  missing.png: no such file" in err


def test_a_manifest_is_needed(tiny_run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    assert main(["evaluate", str(tiny_run.folder), "--ray"]) == 2
    assert "evaluate --ray: no manifest; name a .csv or .parquet file" in capsys.readouterr().err
