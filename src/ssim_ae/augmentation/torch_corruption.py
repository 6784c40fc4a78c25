"""Apply corruption to batches of patches in PyTorch, on the device of the patches."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.corruption import POLYGON_SIDES, STROKE_VERTICES, Corruption, ShapeKind
from ssim_ae.augmentation.torch_arrays import floats_to_device, to_device
from ssim_ae.augmentation.torch_fills import fill_patches
from ssim_ae.augmentation.torch_noise import gaussian_noise

ABSENT_DISTANCE = 9.0  # sides of the patch; signed distance from a shape that is absent
MIN_COVERAGE = 0.02  # share of a pixel that a shape covers; less counts as none


def apply_corruption(patches: Tensor, pieces: Tensor, corruption: Corruption) -> Tensor:
    """Return patches (B, C, S, S) in [0, 1] with `corruption` applied.

    `pieces` (B, C, S, S) are the pieces of other images for the fill PIECE.
    """
    opacity = opacity_mask(corruption, patches.shape[-1], patches.device)
    fills = fill_patches(patches, pieces, corruption)
    noise = gaussian_noise(corruption.seed, patches.shape[1:], patches.device)
    std = floats_to_device(corruption.noise_std, patches.device)[:, None, None, None]
    return torch.lerp(patches, fills, opacity).add_(noise.mul_(std)).clamp_(0, 1)


def opacity_mask(corruption: Corruption, size: int, device: torch.device) -> Tensor:
    """Return the opacity of the fill at each pixel, (B, 1, size, size) in [0, 1].

    The mask is computed at half the size and enlarged, because it is smooth.
    """
    half = size // 2
    distances = _signed_distances(corruption, half, device).view(*corruption.kind.shape, half, half)
    softness = floats_to_device(corruption.softness, device)[:, :, None, None]
    coverage = torch.sigmoid(-distances / softness).amax(dim=1, keepdim=True)
    coverage = coverage * (coverage > MIN_COVERAGE)
    coverage = functional.interpolate(coverage, size=(size, size), mode="bilinear", align_corners=False)
    return coverage * floats_to_device(corruption.opacity, device)[:, None, None, None]


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
            distances[to_device(chosen, device)] = signed_distance(shapes, coordinates)
    return distances


def _chosen_shapes(corruption: Corruption, chosen: np.ndarray, device: torch.device) -> _Shapes:
    """Return the shapes with the chosen indices in [0, B * MAX_SHAPES)."""
    arrays = (getattr(corruption, name) for name in _Shapes._fields)
    flat = (array.reshape(corruption.kind.size, *array.shape[2:])[chosen] for array in arrays)
    return _Shapes(*(floats_to_device(array, device)[..., None, None] for array in flat))


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
