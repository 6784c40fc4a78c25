"""Apply corruption to batches of patches in PyTorch, on the device of the patches."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.corruption import POLYGON_SIDES, STROKE_VERTICES, Corruption, Fill, ShapeKind

ABSENT_DISTANCE = 9.0  # sides of the patch; signed distance from a shape that is absent
MIN_COVERAGE = 0.02  # share of a pixel that a shape covers; less counts as none


def apply_corruption(patches: Tensor, pieces: Tensor, corruption: Corruption) -> Tensor:
    """Return patches (B, C, S, S) in [0, 1] with `corruption` applied.

    `pieces` (B, C, S, S) are the pieces of other images for the fill PIECE.
    """
    noise = [_gaussian_noise(patches[index], corruption, index) for index in range(len(corruption))]
    opacity = opacity_mask(corruption, patches.shape[-1], patches.device)
    fills = torch.stack([_fill(patches[index], pieces[index], corruption, index) for index in range(len(corruption))])
    return torch.lerp(patches, fills, opacity).add_(torch.stack(noise)).clamp_(0, 1)


def opacity_mask(corruption: Corruption, size: int, device: torch.device) -> Tensor:
    """Return the opacity of the fill at each pixel, (B, 1, size, size) in [0, 1].

    The mask is computed at half the size and enlarged, because it is smooth.
    """
    half = size // 2
    distances = _signed_distances(corruption, half, device).view(*corruption.kind.shape, half, half)
    softness = _to_device(corruption.softness, device)[:, :, None, None]
    coverage = torch.sigmoid(-distances / softness).amax(dim=1, keepdim=True)
    coverage = coverage * (coverage > MIN_COVERAGE)
    coverage = functional.interpolate(coverage, size=(size, size), mode="bilinear", align_corners=False)
    return coverage * _to_device(corruption.opacity, device)[:, None, None, None]


class _Shapes(NamedTuple):
    """Parameters of N shapes as in `Corruption`, each with two trailing axes of length 1 for rows and columns."""

    center: Tensor
    size: Tensor
    aspect: Tensor
    angle: Tensor
    polygon_radii: Tensor
    stroke_vertices: Tensor


def _signed_distances(corruption: Corruption, side: int, device: torch.device) -> Tensor:
    """Return the signed distances of side x side pixels from the edge of each shape, (B * MAX_SHAPES, side, side).

    They are in sides of the patch and negative inside the shape.
    """
    distances = torch.full((corruption.kind.size, side, side), ABSENT_DISTANCE, device=device)
    coordinates = (torch.arange(side, device=device) + 0.5) / side
    for kind, signed_distance in SIGNED_DISTANCES.items():
        chosen = np.flatnonzero(corruption.kind.ravel() == kind)
        if len(chosen):
            shapes = _chosen_shapes(corruption, chosen, device)
            distances[torch.from_numpy(chosen).to(device)] = signed_distance(shapes, coordinates)
    return distances


def _chosen_shapes(corruption: Corruption, chosen: np.ndarray, device: torch.device) -> _Shapes:
    """Return the shapes with the chosen indices in [0, B * MAX_SHAPES)."""
    arrays = (getattr(corruption, name) for name in _Shapes._fields)
    flat = (array.reshape(corruption.kind.size, *array.shape[2:])[chosen] for array in arrays)
    return _Shapes(*(_to_device(array, device)[..., None, None] for array in flat))


def _shape_coordinates(shapes: _Shapes, coordinates: Tensor) -> tuple[Tensor, Tensor]:
    """Return y and x (N, S, S) of the pixels in the coordinate systems of the shapes: centered, rotated, scaled."""
    y, x = coordinates[:, None] - shapes.center[:, 0], coordinates - shapes.center[:, 1]
    cosine, sine, stretch = shapes.angle.cos(), shapes.angle.sin(), shapes.aspect.sqrt()
    return (cosine * y - sine * x) * stretch, (sine * y + cosine * x) / stretch


def _distance_from_ellipse(shapes: _Shapes, coordinates: Tensor) -> Tensor:
    y, x = _shape_coordinates(shapes, coordinates)
    return torch.hypot(y, x) - shapes.size


def _distance_from_polygon(shapes: _Shapes, coordinates: Tensor) -> Tensor:
    """The polygon is the intersection of half-planes with normals at equal angles."""
    y, x = _shape_coordinates(shapes, coordinates)
    angles = 2 * np.pi * np.arange(POLYGON_SIDES) / POLYGON_SIDES
    distance = torch.full_like(y, -ABSENT_DISTANCE)
    for side, (sine, cosine) in enumerate(zip(np.sin(angles), np.cos(angles), strict=True)):
        distance = torch.maximum(distance, sine * y + cosine * x - shapes.polygon_radii[:, side] * shapes.size)
    return distance


def _distance_from_stroke(shapes: _Shapes, coordinates: Tensor) -> Tensor:
    """The stroke contains all pixels within `size` of one of its line segments."""
    vertices = shapes.stroke_vertices
    nearest = torch.full((len(vertices), len(coordinates), len(coordinates)), ABSENT_DISTANCE, device=vertices.device)
    for index in range(STROKE_VERTICES - 1):
        start, segment = vertices[:, index], vertices[:, index + 1] - vertices[:, index]
        y, x = coordinates[:, None] - start[:, 0], coordinates - start[:, 1]
        along = ((y * segment[:, 0] + x * segment[:, 1]) / (segment**2).sum(dim=1)).clamp_(0, 1)  # share of the segment
        squared = (y - along * segment[:, 0]).square_() + (x - along * segment[:, 1]).square_()
        nearest = torch.minimum(nearest, squared)
    return nearest.sqrt_() - shapes.size


SIGNED_DISTANCES = {
    ShapeKind.ELLIPSE: _distance_from_ellipse,
    ShapeKind.POLYGON: _distance_from_polygon,
    ShapeKind.STROKE: _distance_from_stroke,
}


def _fill(patch: Tensor, piece: Tensor, corruption: Corruption, index: int) -> Tensor:
    """Return the fill of the patch at `index`, (C, S, S), for the whole area of the patch."""
    match Fill(corruption.fill[index]):
        case Fill.PIECE:
            quarter_turns = int(corruption.piece_quarter_turns[index])
            return _roll(torch.rot90(piece, quarter_turns, (1, 2)), corruption.piece_position[index])
        case Fill.SHIFTED:
            return _roll(patch, corruption.shift[index])
        case Fill.COLOR:
            return _per_channel(corruption.color[index], patch).expand_as(patch)
        case Fill.SMOOTH_NOISE:
            return _smooth_noise(patch, float(corruption.grain[index]), int(corruption.seed[index]))
        case Fill.TINT:
            return _tint(patch, float(corruption.contrast[index]), _per_channel(corruption.tint[index], patch))
        case Fill.BLUR:
            return _blur(patch, float(corruption.grain[index]))


def _smooth_noise(patch: Tensor, grain: float, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    grains = round(1 / grain)
    noise = torch.rand((1, len(patch), grains, grains), generator=generator).to(patch.device)
    return _enlarge(noise, patch)


def _tint(patch: Tensor, contrast: float, tint: Tensor) -> Tensor:
    mean = patch.mean(dim=(1, 2), keepdim=True)
    return ((patch - mean) * contrast + mean + tint).clamp_(0, 1)


def _blur(patch: Tensor, grain: float) -> Tensor:
    kernel_size = max(1, round(patch.shape[-1] * grain))
    return _enlarge(functional.avg_pool2d(patch[None], kernel_size), patch)


def _enlarge(coarse: Tensor, patch: Tensor) -> Tensor:
    """Return an image (1, C, s, s) at the size of the patch, (C, S, S), in [0, 1]."""
    return functional.interpolate(coarse, size=patch.shape[1:], mode="bicubic", align_corners=False)[0].clamp_(0, 1)


def _per_channel(values: np.ndarray, patch: Tensor) -> Tensor:
    """Return values (3,) for the channels of the patch, (C, 1, 1)."""
    return _to_device(values[: len(patch)], patch.device)[:, None, None]


def _roll(patch: Tensor, shift: np.ndarray) -> Tensor:
    """Return the patch shifted by (y, x), in sides of the patch, with wrap-around."""
    return torch.roll(patch, np.rint(shift * patch.shape[-1]).astype(int).tolist(), (1, 2))


def _gaussian_noise(patch: Tensor, corruption: Corruption, index: int) -> Tensor:
    generator = torch.Generator(patch.device).manual_seed(int(corruption.seed[index]))
    return torch.randn(patch.shape, generator=generator, device=patch.device) * float(corruption.noise_std[index])


def _to_device(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device, non_blocking=True)
