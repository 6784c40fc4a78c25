"""Woven fabrics: upright warp yarns and level weft yarns that pass over and under each other."""

import numpy as np
from numpy.random import Generator

from ssim_ae.synthetic.surfaces import FULL_TURN, RGB, Grid, Surface, random_pose, smoothstep

YARN_COUNT = 128  # yarns with individual thickness, brightness and twist; the sequence repeats after them
WEFT_STRAND_OFFSET = 1000  # pitches; keeps the strands of the weft apart from those of the warp


def twill(grid: Grid, rng: Generator) -> Surface:
    """Draw denim: indigo warp over two and under one pale weft, which results in diagonal ribs."""
    return weave(
        random_pose(grid, rng, degrees=3, scale=0.02, shift=40),
        rng,
        lifts=(1, 1, -1),
        pitch=16.0,
        warp=(0.24, 0.33, 0.50),
        weft=(0.79, 0.79, 0.75),
        dye=(0.88, 0.50, 0.16),
        thread=(0.93, 0.90, 0.82),
    )


def canvas(grid: Grid, rng: Generator) -> Surface:
    """Draw a plain weave of thick linen yarns, over one and under one."""
    return weave(
        random_pose(grid, rng, degrees=3, scale=0.02, shift=40),
        rng,
        lifts=(1, -1),
        pitch=16.0,
        warp=(0.80, 0.72, 0.58),
        weft=(0.77, 0.68, 0.53),
        dye=(0.20, 0.37, 0.45),
        thread=(0.62, 0.14, 0.14),
    )


def weave(
    grid: Grid,
    rng: Generator,
    *,
    lifts: tuple[int, ...],
    pitch: float,
    warp: RGB,
    weft: RGB,
    dye: RGB,
    thread: RGB,
) -> Surface:
    """Draw a weave with one warp and one weft yarn per `pitch` (frame units).

    `lifts` is the pattern, repeated along each yarn and from yarn to yarn: 1 where the warp is on top, -1 where the
    weft is.
    """
    sway = rng.uniform(0.04, 0.10)  # pitches; the yarns are slightly wavy
    u = grid.x / pitch + sway * np.sin(grid.y * (FULL_TURN / 190) + rng.uniform(0, FULL_TURN))
    v = grid.y / pitch + sway * np.sin(grid.x * (FULL_TURN / 230) + rng.uniform(0, FULL_TURN))
    pattern = np.array(lifts, np.float32)
    warp_height, warp_tone, warp_number = _yarns(u, v, pattern, rng)
    weft_height, weft_tone, weft_number = _yarns(v, u, -pattern, rng)
    warp_on_top = warp_height > weft_height
    height = np.where(warp_on_top, warp_height, weft_height)
    occlusion = 0.42 + 0.58 * smoothstep(height, low=-0.25, high=0.55)  # low parts are darker
    tone = np.where(warp_on_top, warp_tone, weft_tone) * occlusion
    base = np.where(warp_on_top[..., None], np.asarray(warp, np.float32), np.asarray(weft, np.float32))
    strand = np.where(warp_on_top, warp_number, weft_number + WEFT_STRAND_OFFSET) * pitch
    return Surface(pitch * height, base * tone[..., None], strand, backing=(0.12, 0.10, 0.09), dye=dye, thread=thread)


def _yarns(
    across: np.ndarray, along: np.ndarray, pattern: np.ndarray, rng: Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return height, brightness and number of the parallel yarns at each pixel.

    Coordinates and height are in pitches. `pattern` repeats along each yarn and from yarn to yarn: 1 where the yarn is
    on top, -1 where it is below.
    """
    number, cell = np.floor(across), np.floor(along - 0.5)
    off_axis = across - number - 0.5
    fraction = along - 0.5 - cell  # of the way from one crossing to the next
    index = number.astype(np.int32) & (YARN_COUNT - 1)
    crossing = (number + cell).astype(np.int32) % len(pattern)
    lift, rise = pattern[crossing], (np.roll(pattern, -1) - pattern)[crossing]
    slimness, brightness, phase = (values[index] for values in _yarn_variation(rng))
    profile = np.sqrt(np.maximum(1 - (off_axis * slimness) ** 2, 0))
    height = 0.22 * (lift + rise * fraction * fraction * (3 - 2 * fraction)) + 0.45 * profile
    twist = np.sin(FULL_TURN * (1.1 * along + 1.5 * off_axis) + phase)
    fibres = np.sin(FULL_TURN * (0.45 * along + 3.3 * off_axis) + 2 * phase)
    return height, brightness * (1 + 0.05 * twist + 0.025 * fibres), number


def _yarn_variation(rng: Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inverse half thickness, brightness and twist phase (radians) of all yarns, float32."""
    normal = rng.standard_normal((3, YARN_COUNT)).astype(np.float32)
    return 2.08 + 0.05 * normal[0], 1 + 0.025 * normal[1], 0.25 * normal[2]
