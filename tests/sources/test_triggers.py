"""Triggers on drawn thumbnails: an empty belt, and parts that pass and stop on it."""

import numpy as np
import pytest

from ssim_ae.sources.triggers import THUMBNAIL_SIZE, Every, OnRequest, Rest

STEP = 0.04  # seconds from one picture to the next
WIDTH, HEIGHT = THUMBNAIL_SIZE
PART = 16  # px


def thumbnail(position: int | None, rng, light: int = 0) -> np.ndarray:
    """Draw the belt with a part at a position (None: no part), with noise."""
    pixels = np.full((HEIGHT, WIDTH), 80.0)
    if position is not None:
        pixels[16:32, max(position, 0) : max(position + PART, 0)] = 160
    return np.clip(pixels + light + rng.normal(0, 2, pixels.shape), 0, 255).astype(np.uint8)


def fired(trigger, thumbnails, start: float = 0) -> list[int]:
    """Return the indices of the thumbnails, from a time in seconds on, at which the trigger fires."""
    return [index for index, shown in enumerate(thumbnails) if trigger.fires(shown, start + index * STEP)]


def passes(rng, stop: int = 20, speed: int = 3, rest: int = 20) -> list[np.ndarray]:
    """Draw a part that comes in, rests and leaves."""
    path = [*range(-PART, stop, speed), *[stop] * rest, *range(stop, WIDTH, speed)]
    return [thumbnail(position, rng) for position in path]


def empty(rng, number: int = 20, light: int = 0) -> list[np.ndarray]:
    return [thumbnail(None, rng, light) for _ in range(number)]


def test_still_fires_once_for_each_part_that_rests(rng):
    thumbnails = empty(rng)
    rests = []
    for stop in (20, 24, 20):
        rests.append(len(thumbnails) + len(range(-PART, stop, 3)))
        thumbnails += passes(rng, stop) + empty(rng)
    hits = fired(Rest(needs_part=True), thumbnails)
    assert len(hits) == 3 and all(rest <= hit < rest + 20 for hit, rest in zip(hits, rests, strict=True))


@pytest.mark.parametrize("speed", [1, 3, 9])
def test_a_part_that_does_not_stop_is_not_inspected(rng, speed):
    moving = [thumbnail(position, rng) for position in range(-PART, WIDTH, speed)]
    assert fired(Rest(needs_part=True), empty(rng) + moving + empty(rng)) == []


def test_a_part_that_moves_in_steps_is_inspected_once_it_rests(rng):
    steps = [thumbnail(position, rng) for position in range(-PART, 20, 3) for _ in range(5)]
    rest = [thumbnail(20, rng) for _ in range(20)]
    (hit,) = fired(Rest(needs_part=True), empty(rng) + steps + rest)
    assert hit >= 20 + len(steps)


def test_an_empty_picture_is_never_inspected_when_the_light_changes(rng):
    jump = empty(rng) + empty(rng, 40, light=30) + empty(rng, 40)
    slow = [shown for light in range(0, 60) for shown in empty(rng, 3, light)]
    assert fired(Rest(needs_part=True), jump + slow) == []


def test_the_empty_picture_follows_a_shadow(rng):
    shadow = np.linspace(0, 40, 1200)  # gray levels, in ten minutes
    darkened = np.arange(WIDTH) < WIDTH // 2
    thumbnails = [
        (shown - level * darkened).clip(0).astype(np.uint8)
        for level, shown in zip(shadow, empty(rng, 1200), strict=True)
    ]
    trigger = Rest(needs_part=True)
    assert [trigger.fires(shown, 0.5 * index) for index, shown in enumerate(thumbnails)] == [False] * 1200


def test_a_part_that_comes_slowly_does_not_become_empty(rng):
    thumbnails = empty(rng, 600)
    for index, shown in enumerate(thumbnails[20:]):
        shown[16:28, : index // 25] = 160  # a column in a second: less than what is noise
    assert fired(Rest(needs_part=True), thumbnails)


def test_a_part_that_stays_is_inspected_once_in_noise(rng):
    assert len(fired(Rest(needs_part=True), empty(rng) + [thumbnail(20, rng) for _ in range(500)])) == 1


def test_the_empty_picture_can_be_set_anew(rng):
    trigger = Rest(needs_part=True)
    begins_with_part = [thumbnail(20, rng) for _ in range(20)]
    assert len(fired(trigger, begins_with_part + empty(rng))) == 1, "the part counted as the empty picture"
    trigger.forget_empty()
    assert fired(trigger, empty(rng), start=10) == []
    (hit,) = fired(trigger, passes(rng, rest=20) + empty(rng), start=20)
    assert hit < len(passes(rng, rest=20)) - 10, "the part is there"


def test_stop_fires_at_each_rest_after_a_movement(rng):
    part = [thumbnail(20, rng) for _ in range(20)]
    between = [thumbnail(position, rng) for position in range(20, 44, 3)]
    assert len(fired(Rest(needs_part=False), part + between + part + between + part)) == 2


def test_every_keeps_its_schedule():
    nothing = [None] * 26
    assert fired(Every(0.2), nothing) == [0, 5, 10, 15, 20, 25]
    assert fired(Every(0.1), nothing)[:5] == [0, 3, 5, 8, 10], "late by less than a picture, without a drift"
    trigger = Every(1)
    assert [trigger.fires(None, time) for time in (0, 0.5, 7.3, 7.9, 8.2, 8.3)] == [
        True,
        False,
        True,
        False,
        False,
        True,
    ]


def test_on_request_never_fires():
    assert fired(OnRequest(), [None] * 3) == []
