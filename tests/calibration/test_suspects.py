from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from ssim_ae import Config, Detector
from ssim_ae.calibration.calibrate import calibrate
from ssim_ae.calibration.suspects import MAX_LEFT_OUT_SHARE, measure_distances
from ssim_ae.maps.residuals import Residuals, Thresholds

METHODS = ("repair", "reference")


def residuals(rng: np.random.Generator, *, scale: float = 1.0, spoilt: float = 0.0) -> Residuals:
    """Draw residual maps of a good image; `spoilt` is added to a region of both."""
    maps = np.abs(rng.normal(0.1, 0.03, (2, 64, 64))).astype(np.float32) * np.float32(scale)
    for values in maps:
        row, column = rng.integers(10, 50, 2)
        values[row : row + 13, column : column + 13] += np.float32(spoilt)
    return Residuals(maps, np.ones((64, 64), bool))


def images(count: int, seed: int, **options: float) -> list[Residuals]:
    rng = np.random.default_rng(seed)
    return [residuals(rng, scale=options.get("scale", 1.0) * rng.gumbel(1, 0.05)) for _ in range(count)]


@pytest.mark.parametrize("method", METHODS)
def test_good_images_are_not_left_out(method: str) -> None:
    distances, far, _ = measure_distances(images(40, 1), images(160, 2, scale=0.8), Config(method=method))
    assert distances.shape == (200,)
    assert not far.any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("share", [0.01, 0.05, 0.15])
def test_spoilt_images_are_the_farthest_and_left_out(method: str, share: float) -> None:
    held_out, training = images(40, 1), images(160, 2, scale=0.8)
    spoilt = np.random.default_rng(3).choice(200, round(200 * share), replace=False)
    rng = np.random.default_rng(4)
    for index in spoilt:
        part, position = (held_out, index) if index < 40 else (training, index - 40)
        part[position] = residuals(rng, spoilt=rng.uniform(2, 4))
    distances, far, _ = measure_distances(held_out, training, Config(method=method))
    assert set(np.argsort(-distances)[: len(spoilt)]) == set(spoilt)
    assert set(np.flatnonzero(far)) == set(spoilt)


@pytest.mark.parametrize("method", METHODS)
def test_spoilt_images_do_not_raise_the_thresholds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(55)]
    clean = images(55, 1)
    rng = np.random.default_rng(4)
    spoilt = [residuals(rng, spoilt=3.0) if number % 11 == 0 else maps for number, maps in enumerate(clean)]

    def measured_thresholds(maps: list[Residuals]) -> Thresholds:
        by_path = dict(zip(paths, maps, strict=True))
        view = SimpleNamespace(size=maps[0].maps.shape[1:])
        detector = SimpleNamespace(residuals_all=lambda asked: [by_path[path] for path in asked], view=view)
        return calibrate(cast(Detector, detector), paths[:22], Config(method=method), paths[22:]).thresholds

    assert measured_thresholds(spoilt) == pytest.approx(measured_thresholds(clean), rel=0.1)
    assert "5 of 55 good images may be defective, and are left out of the thresholds: " in capsys.readouterr().err


def test_too_many_are_no_outliers() -> None:
    rng = np.random.default_rng(4)
    spoilt = [residuals(rng, spoilt=3.0) for _ in range(round(200 * MAX_LEFT_OUT_SHARE) + 1)]
    _, far, _ = measure_distances([*images(200 - len(spoilt), 1), *spoilt], [], Config(method="reference"))
    assert not far.any()


def test_few_images_are_compared_without_error(tmp_path: Path) -> None:
    del tmp_path
    for count in range(4):
        distances, far, _ = measure_distances(images(count, 1), [], Config(method="repair"))
        assert distances.shape == far.shape == (count,)
        assert not far.any()


def test_images_without_foreground_are_compared_without_error() -> None:
    empty = [maps._replace(weights=np.zeros((64, 64), bool)) for maps in images(5, 1)]
    distances, far, _ = measure_distances(empty, [], Config(method="repair"))
    assert np.isfinite(distances).all()
    assert not far.any()
