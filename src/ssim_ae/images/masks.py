"""Find and read ground-truth masks: which pixels a file marks as defective, however it encodes them."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from ssim_ae.images.files import read_image
from ssim_ae.images.formats import SUFFIXES
from ssim_ae.images.search import find_images, list_folder

MAX_LABELS = 16  # a mask with more distinct values is a picture with soft or compressed edges
NOISE_SHARE = 1 / 4  # of full scale: values up to this are compression artifacts in a mask of many values

MIN_HUE_SHARE = 0.1  # second singular value of the colors, relative to the first, from which they have several hues
ALPHA_MODES = ("LA", "PA", "RGBA", "La", "RGBa")


class Mask(NamedTuple):
    """The defective pixels, (H, W) bool, and what is doubtful about them, if anything."""

    pixels: np.ndarray
    doubt: str = ""


def read_mask(path: Path) -> Mask:
    """Read a ground-truth mask. Raises InputError as `read_image` does.

    A pixel is defective if its value is at least half of full scale. If no value is, or if the mask is drawn in a few
    colors of several hues, values are labels: all but black are defective. Transparent pixels are good.
    """
    image = read_image(path)
    colors = _on_black(image, path)
    values = colors.max(axis=2)  # a pure color is as bright as white
    pixels, doubt = (values > 0, "") if _has_label_colors(colors) else _thresholded(values, np.iinfo(image.dtype).max)
    share = float(pixels.mean())
    if share > 0.5:
        return Mask(pixels, doubt or f"{100 * share:.0f} % of the image is marked as defective; is the mask inverted?")
    return Mask(pixels, doubt)


def _thresholded(values: np.ndarray, full: int) -> tuple[np.ndarray, str]:
    """Return the defective pixels of a gray mask (H, W), whose values reach up to `full`, and the doubt."""
    half, levels = (full + 1) // 2, np.unique(values)
    few = len(levels) <= MAX_LABELS
    if levels[-1] < half and few:
        return values > 0, ""
    if levels[-1] < half:
        return values >= (levels[-1] + 1) // 2, f"no value above {levels[-1]} of {full}; half of it counts as defective"
    pixels = values >= half
    gray = (values > (0 if few else full * NOISE_SHARE)) & ~pixels
    if np.count_nonzero(gray) >= np.count_nonzero(pixels):
        return pixels, f"more pixels have values below {half}, and count as good, than above it"
    return pixels, ""


def _has_label_colors(colors: np.ndarray) -> bool:
    """Whether a mask (H, W, 3) is drawn in a few colors of several hues. Soft edges of one color have one hue."""
    red, green, blue = (colors[:, :, channel].astype(np.int64) for channel in range(3))
    if np.array_equal(red, green) and np.array_equal(red, blue):
        return False
    distinct = np.unique(red << 32 | green << 16 | blue)
    if len(distinct) > MAX_LABELS:
        return False
    rows = np.stack([distinct >> 32, distinct >> 16 & 0xFFFF, distinct & 0xFFFF], axis=1).astype(float)
    lengths = np.linalg.svd(rows, compute_uv=False)
    return bool(len(lengths) > 1 and lengths[1] > MIN_HUE_SHARE * lengths[0])


def _on_black(image: np.ndarray, path: Path) -> np.ndarray:
    """Return the colors (H, W, 3) of a mask with its transparent pixels black.

    If only the transparency, or the number of a color in the palette, tells pixels apart, it makes them white.
    """
    try:
        with Image.open(path) as file:
            has_alpha = file.mode in ALPHA_MODES or ("transparency" in file.info and file.mode in ("P", "L", "RGB"))
            if not has_alpha and file.mode != "P":
                return image
            upright = ImageOps.exif_transpose(file)
            indices = np.asarray(upright if upright.mode == "P" else upright.convert("L"))
            alpha = np.asarray(upright.convert("RGBA"))[:, :, 3]
    except OSError:  # a file that `read_image` reads by other means
        return image
    white = np.full_like(image, np.iinfo(image.dtype).max)
    if alpha.min() < alpha.max():
        visible = (alpha >= (int(alpha.max()) + 1) // 2)[:, :, None]
        return np.where(visible, image if image[visible[:, :, 0]].any() else white, 0).astype(image.dtype)
    if file.mode == "P" and image.any(axis=2).all():
        return np.where((indices > 0)[:, :, None], white, 0).astype(image.dtype)
    return image


class MaskFiles:
    """The masks of the images in a folder of test images, which is named after its defect type.

    They are in a folder of that name in one of the `ground_truth` folders, directly in these if it is the `only_type`,
    or beside the images. The mask of `<stem>.png` is `<stem><mask_suffix>`, also in another format, or named as it is.
    """

    def __init__(
        self, folder: Path, ground_truth: Sequence[Path], img_suffix: str, mask_suffix: str, *, only_type: bool
    ) -> None:
        self.folder = folder
        self.ground_truth = ground_truth
        self.img_suffix = img_suffix
        self.mask_suffix = mask_suffix
        places = [folder, *(ground_truth if only_type else ()), *(_child(each, folder.name) for each in ground_truth)]
        self.files = {path.name.lower(): path for place in places for path in find_images(place)}

    def find(self, image: Path) -> Path | None:
        """Return the mask of an image, if there is one."""
        found = (self.files.get(name.lower()) for name in self._names(image))
        return next((mask for mask in found if mask and mask.parent / mask.name != image), None)

    def expected(self, image: Path) -> Path:
        """Return the path of the mask of an image in the usual layout."""
        return self.ground_truth[0] / self.folder.name / f"{image.stem}{self.mask_suffix}"

    def _names(self, image: Path) -> Iterator[str]:
        """Yield the names that the mask of an image may have, the most specific first."""
        stems = [
            image.stem,
            *_without_ending(image.name, self.img_suffix),
            *_without_ending(image.stem, self.img_suffix),
        ]
        no_format = [stem for suffix in SUFFIXES for stem in _without_ending(self.mask_suffix, suffix)]
        other_formats = [f"{(no_format or [self.mask_suffix])[0]}{suffix}" for suffix in SUFFIXES]
        for stem in stems:
            yield from (f"{stem}{ending}" for ending in (self.mask_suffix, *other_formats, *SUFFIXES))


def masks_beside(images: Iterable[Path], mask_suffix: str) -> set[Path]:
    """Return which of the images in a folder are masks of others, by their names."""
    by_name = {path.name: path for path in images}
    masks = {f"{path.stem}{mask_suffix}": path for path in by_name.values()}
    return {by_name[name] for name, image in masks.items() if name in by_name and name != image.name}


def _without_ending(text: str, ending: str) -> list[str]:
    """Return `[text]` without its ending, in any case; `[]` if it does not end with it."""
    return [text[: -len(ending)]] if ending and text.lower().endswith(ending.lower()) else []


def _child(folder: Path, name: str) -> Path:
    """Return the path of a folder in `folder`, which may be missing, by its name in any case."""
    folders = list_folder(folder).folders if folder.is_dir() else ()
    return next((path for path in folders if path.name.lower() == name.lower()), folder / name)
