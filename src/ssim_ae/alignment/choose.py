"""The choice, from good images alone, whether images are aligned and which strip is cut out of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np

from ssim_ae.alignment.pose import Part, Pose, find_part, pose_of
from ssim_ae.alignment.strip import Strip, aligned

MIN_ELONGATION = 1.5  # ratio of the length of a part to its width: the axis is certain, also with a defect
MIN_SKEWNESS = 0.05  # the direction along the axis is certain
MIN_INSIDE = 0.75  # of the good images; the other parts touch the border, most of them with their shadows alone
MAX_SPREAD_RATIO = 0.75  # of aligned to unaligned images: the pose varies, and the parts have one shape
UNCERTAIN = 0.05  # the share of good images that may be worse than these limits
MARGIN = 0.05  # around the strip, as a share of its length
MAX_LENGTH = 2.0  # of a side of a strip, in longer sides of the image
FRAME = Strip(-0.5, 0.5, -0.5, 0.5)  # a square as large as the image
FRAME_SIZE = 64  # px, in which images are compared
MAX_IMAGES = 100  # that decide whether parts lie inside; more do not change the result noticeably


class Alignment(NamedTuple):
    """How the images of a part are aligned: by the strip that is cut out along the part."""

    strip: Strip

    def in_file(self) -> dict[str, list[float]]:
        """Return the alignment as JSON."""
        return {"strip": [float(end) for end in self.strip]}

    @classmethod
    def from_file(cls, values: Mapping[str, Sequence[float]]) -> Self:
        """Return the alignment that `in_file` has returned. Raises ValueError, KeyError or TypeError for others."""
        strip = Strip(*map(float, values["strip"]))
        if not np.isfinite(strip).all():
            raise ValueError("the ends of a strip should be finite numbers")
        if not (0 < strip.stop - strip.start <= MAX_LENGTH and 0 < strip.right - strip.left <= MAX_LENGTH):
            raise ValueError("the strip of an alignment is empty, or longer than the image")
        return cls(strip)


class PoseStatistics(NamedTuple):
    """What good images say for or against their alignment.

    Attributes:
        images: number of images.
        elongation, skewness: length to width, and skewness, which all but a twentieth of the parts exceed.
        inside: share of the images in which the part does not touch the border.
        spread, aligned_spread: standard deviation of the silhouettes over the images, before and after alignment.
    """

    images: int
    elongation: float
    skewness: float
    inside: float
    spread: float
    aligned_spread: float

    @property
    def favor_alignment(self) -> bool:
        """Whether the pose of the parts is certain, varies, and explains why their silhouettes differ."""
        return (
            self.elongation >= MIN_ELONGATION
            and self.skewness >= MIN_SKEWNESS
            and self.inside >= MIN_INSIDE
            and self.aligned_spread < MAX_SPREAD_RATIO * self.spread
        )


def choose_alignment(images: Iterable[np.ndarray], bit_depth: int = 16) -> tuple[Alignment | None, PoseStatistics]:
    """Return how good images (H, W, C) uint8, or uint16 of `bit_depth` bits, are aligned, and the reasons.

    None if they are better left as they are: their parts are round, symmetric, cut off or all in one pose, or there is
    only one image. The images may differ in size, but not in the number of channels; each is read once.
    """
    poses, extents, are_inside = [], [], []
    unaligned, turned = _Spread(), _Spread()
    for image in images:
        longer_side = max(image.shape[:2])
        part = find_part(image, bit_depth)
        pose = pose_of(part, longer_side)
        poses.append(pose)
        extents.append(_extent_of(part, pose, longer_side))
        are_inside.append(not _touches_border(part))
        silhouette = np.uint8(255) * part.mask[..., None]
        pose_in_mask = pose._replace(y=pose.y / np.float32(part.block), x=pose.x / np.float32(part.block))
        for spread, frame_pose in ((unaligned, Pose.upright(*part.mask.shape)), (turned, pose_in_mask)):
            spread.add(aligned(silhouette, frame_pose, FRAME, FRAME_SIZE, FRAME_SIZE)[0])
    if not poses:
        raise ValueError("expected at least one image")

    statistics = PoseStatistics(
        len(poses),
        float(np.quantile([pose.length / max(pose.width, np.float32(1e-6)) for pose in poses], UNCERTAIN)),
        float(np.quantile([pose.skewness for pose in poses], UNCERTAIN)),
        float(np.mean(are_inside)),
        unaligned.mean(),
        turned.mean(),
    )
    if not statistics.favor_alignment:
        return None, statistics
    whole = np.array(are_inside)
    return _alignment(np.array(extents)[whole]), statistics


def parts_lie_inside(images: Sequence[np.ndarray] | np.ndarray) -> bool:
    """Return whether most images (H, W, C) uint8 show a part on an even background that does not touch the border.

    Of more than MAX_IMAGES images, a random sample is looked at, always the same.
    """
    count = min(MAX_IMAGES, len(images))
    sample = np.random.default_rng(0).choice(len(images), count, replace=False)  # equal intervals may meet a cycle
    return bool(np.mean([not _touches_border(find_part(images[index])) for index in sorted(sample)]) >= MIN_INSIDE)


class _Spread:
    """The standard deviation of pixels over images, from running sums."""

    def __init__(self) -> None:
        self.count = 0
        self.total: np.ndarray | float = 0.0
        self.squares: np.ndarray | float = 0.0

    def add(self, planes: np.ndarray) -> None:
        planes = planes.astype(np.float64)
        self.count += 1
        self.total = self.total + planes
        self.squares = self.squares + planes * planes

    def mean(self) -> float:
        """Return the mean over the pixels."""
        variance = self.squares / self.count - (self.total / self.count) ** 2
        return float(np.sqrt(np.maximum(variance, 0)).mean())


def _extent_of(part: Part, pose: Pose, longer_side: int) -> tuple[float, float, float, float]:
    """Return start, stop, left and right of a part, from its center, as shares of the longer side of the image."""
    rows, columns = np.nonzero(part.mask)
    y, x = (rows + 0.5) * part.block - pose.y, (columns + 0.5) * part.block - pose.x
    along, across = y * pose.dy + x * pose.dx, y * pose.dx - x * pose.dy
    start, stop, left, right = (
        float(end / longer_side) for end in (along.min(), along.max(), across.min(), across.max())
    )
    return start, stop, left, right


def _touches_border(part: Part) -> bool:
    mask = part.mask
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _alignment(extents: np.ndarray) -> Alignment:
    """Return the alignment for parts with extents (n, 4): nearly all of them are in the strip."""
    start, left = np.quantile(extents[:, [0, 2]], UNCERTAIN / 2, axis=0)
    stop, right = np.quantile(extents[:, [1, 3]], 1 - UNCERTAIN / 2, axis=0)
    margin = MARGIN * (stop - start)
    return Alignment(Strip(*(float(end) for end in (start - margin, stop + margin, left - margin, right + margin))))
