"""Corruption drawn onto patches, in PyTorch, whole batches at once where the patches are."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ssim_ae.augmentation.corruption import (
    BLUR,
    CLOUDS,
    COLOUR,
    CORNERS,
    ELLIPSE,
    JOINTS,
    PIECE,
    POLYGON,
    SHIFTED,
    STROKE,
    TINT,
    Corruption,
)

FAR = 9.0  # sides of the patch: a shape that is not there
BARELY = 0.02  # opacity below which a pixel is not touched


def corrupted(patches: Tensor, pieces: Tensor, damage: Corruption) -> Tensor:
    """(B, C, S, S) in [0, 1] -> the same damaged; `pieces` of images as large."""
    noise = [_noise(patches[number], damage, number) for number in range(len(damage))]
    opacities = opacity(damage, patches.shape[-1], patches.device)
    return torch.lerp(patches, _fills(patches, pieces, damage), opacities).add_(torch.stack(noise)).clamp_(0, 1)


def opacity(damage: Corruption, size: int, device: torch.device) -> Tensor:
    """(B, 1, size, size) in [0, 1]: how far the damage covers each pixel. Drawn at half the size, for it is smooth."""
    half = size // 2
    outside = torch.full((damage.kind.size, half, half), FAR, device=device)
    at = (torch.arange(half, device=device) + 0.5) / half
    for kind, distance in ((ELLIPSE, _from_ellipse), (POLYGON, _from_polygon), (STROKE, _from_stroke)):
        chosen = np.flatnonzero(damage.kind.ravel() == kind)
        if len(chosen):
            outside[torch.from_numpy(chosen).to(device)] = distance(_flat(damage, chosen, device), at)
    softness = _moved(damage.softness.ravel(), device)[:, None, None]
    shapes = torch.sigmoid(-outside / softness).view(*damage.kind.shape, half, half)
    mask = shapes.amax(dim=1, keepdim=True)
    mask = functional.interpolate(mask * (mask > BARELY), size=(size, size), mode="bilinear", align_corners=False)
    return mask * _moved(damage.opacity, device)[:, None, None, None]


def _flat(damage: Corruption, chosen: np.ndarray, device: torch.device) -> dict[str, Tensor]:
    """The numbers of the chosen shapes, each with two axes for rows and columns behind."""
    names = ("centre", "size", "aspect", "angle", "radii", "joints")
    shapes = damage.kind.size
    arrays = {name: getattr(damage, name) for name in names}
    flat = {name: array.reshape(shapes, *array.shape[2:])[chosen] for name, array in arrays.items()}
    return {name: _moved(array, device)[..., None, None] for name, array in flat.items()}


def _around(shape: dict[str, Tensor], at: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates (N, S, S) about the centres, turned and stretched."""
    y, x = at[:, None] - shape["centre"][:, 0], at - shape["centre"][:, 1]
    cosine, sine, stretch = shape["angle"].cos(), shape["angle"].sin(), shape["aspect"].sqrt()
    return (cosine * y - sine * x) * stretch, (sine * y + cosine * x) / stretch


def _from_ellipse(shape: dict[str, Tensor], at: Tensor) -> Tensor:
    y, x = _around(shape, at)
    return torch.hypot(y, x) - shape["size"]


def _from_polygon(shape: dict[str, Tensor], at: Tensor) -> Tensor:
    y, x = _around(shape, at)
    angles = 2 * np.pi * np.arange(CORNERS) / CORNERS
    distance = torch.full_like(y, -FAR)
    for side, (sine, cosine) in enumerate(zip(np.sin(angles), np.cos(angles), strict=True)):
        distance = torch.maximum(distance, sine * y + cosine * x - shape["radii"][:, side] * shape["size"])
    return distance


def _from_stroke(shape: dict[str, Tensor], at: Tensor) -> Tensor:
    joints = shape["joints"]
    nearest = torch.full((len(joints), len(at), len(at)), FAR, device=at.device)
    for joint in range(JOINTS - 1):
        start, along = joints[:, joint], joints[:, joint + 1] - joints[:, joint]
        y, x = at[:, None] - start[:, 0], at - start[:, 1]
        share = ((y * along[:, 0] + x * along[:, 1]) / (along**2).sum(dim=1)).clamp_(0, 1)
        squared = (y - share * along[:, 0]).square_() + (x - share * along[:, 1]).square_()
        nearest = torch.minimum(nearest, squared)
    return nearest.sqrt_() - shape["size"]


def _fills(patches: Tensor, pieces: Tensor, damage: Corruption) -> Tensor:
    """(B, C, S, S): what the shapes are filled with."""
    fills = [FILLED[fill](patches[number], pieces[number], damage, number) for number, fill in enumerate(damage.fill)]
    return torch.stack(fills)


def _piece(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    return _rolled(torch.rot90(piece, int(damage.turns[number]), (1, 2)), damage.place[number])


def _shifted(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    return _rolled(patch, damage.shift[number])


def _colour(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    return _moved(damage.colour[number, : len(patch)], patch.device)[:, None, None].expand_as(patch)


def _clouds(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(int(damage.seed[number]))
    grains = round(1 / float(damage.grain[number]))
    drawn = torch.rand((1, len(patch), grains, grains), generator=generator).to(patch.device)
    return functional.interpolate(drawn, size=patch.shape[1:], mode="bicubic", align_corners=False)[0].clamp_(0, 1)


def _tint(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    middle = patch.mean(dim=(1, 2), keepdim=True)
    added = _moved(damage.tint[number, : len(patch)], patch.device)[:, None, None]
    return ((patch - middle) * float(damage.contrast[number]) + middle + added).clamp_(0, 1)


def _blur(patch: Tensor, piece: Tensor, damage: Corruption, number: int) -> Tensor:
    grain = max(1, round(patch.shape[-1] * float(damage.grain[number])))
    coarse = functional.avg_pool2d(patch[None], grain)
    return functional.interpolate(coarse, size=patch.shape[1:], mode="bicubic", align_corners=False)[0].clamp_(0, 1)


FILLED = {PIECE: _piece, SHIFTED: _shifted, COLOUR: _colour, CLOUDS: _clouds, TINT: _tint, BLUR: _blur}


def _rolled(patch: Tensor, by: np.ndarray) -> Tensor:
    return torch.roll(patch, np.rint(by * patch.shape[-1]).astype(int).tolist(), (1, 2))


def _noise(patch: Tensor, damage: Corruption, number: int) -> Tensor:
    generator = torch.Generator(patch.device).manual_seed(int(damage.seed[number]))
    return torch.randn(patch.shape, generator=generator, device=patch.device) * float(damage.noise[number])


def _moved(array: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(array.astype(np.float32)).to(device, non_blocking=True)
