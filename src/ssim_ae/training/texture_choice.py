"""The decision, from good images alone, whether they show a texture: no place is like the same place of others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ssim_ae.config import Config
from ssim_ae.console import print_note, progress
from ssim_ae.errors import InputError
from ssim_ae.images.colors import brightness, white_of
from ssim_ae.images.files import read_image
from ssim_ae.images.resize import resize
from ssim_ae.methods import method_of
from ssim_ae.sampling import equal_intervals

TEXTURE_FOUND = "good images show a texture: no place is like the same place of other images"
MAX_TEXTURE_IMAGES = 30  # that decide; their pairs are many
COMPARED_SIDE = 64  # px, that images are resized to before they are compared
MAX_CORRELATION = 0.1  # of textures; 0.00 to 0.02 on them, 0.3 to 0.6 on parts at any angle, 0.9 to 1 on others


def with_texture(config: Config, images: Sequence[Path]) -> Config:
    """Decide from good images at equal intervals whether they show a texture, if the settings leave it open.

    It changes the residuals, so the answer is no if a threshold of theirs is given. Settings that are not given then
    get the method's defaults for textures.
    """
    if not config.uses("texture"):
        return config
    texture = config.texture
    if texture is None:
        texture = not config.given_thresholds and _images_show_texture(images, config)
        if texture:
            print_note(f"{TEXTURE_FOUND}; --texture False treats them as those of a part")
    defaults = dict(method_of(config).texture_defaults) if texture else {}
    if config.aug_dir:  # has an effect on the same patches in each epoch only
        defaults.pop("online_aug", None)
    return config.replace(
        texture=texture, **{key: value for key, value in defaults.items() if key not in config.model_fields_set}
    )


def note_weakness_on_textures(config: Config, images: Sequence[Path]) -> None:
    """Print a note if good images show a texture, and the method is weak on random ones."""
    if method_of(config).weak_on_random_textures and _images_show_texture(images, config):
        advice = f"if it is random, as fibers are, {config.method} finds defects less well than --method repair"
        print_note(f"{TEXTURE_FOUND}; {advice}")


def _images_show_texture(images: Sequence[Path], config: Config) -> bool:
    """Return whether good images at equal intervals show a texture."""
    paths = [images[index] for index in equal_intervals(len(images), MAX_TEXTURE_IMAGES)]
    return shows_texture(list(_read(paths, config)))


def shows_texture(images: Sequence[np.ndarray]) -> bool:
    """Return whether images (h, w) of one size are uncorrelated; False if there are fewer than two."""
    if len(images) < 2:
        return False
    deviations = np.stack([image.ravel() - image.mean() for image in images])
    norms = np.linalg.norm(deviations, axis=1, keepdims=True)
    unit = np.divide(deviations, norms, out=np.zeros_like(deviations), where=norms > 0)
    count = len(images)
    pairs = unit @ unit.T
    correlation = (pairs.sum() - np.trace(pairs)) / (count * (count - 1))
    return bool(correlation < MAX_CORRELATION)


def _read(paths: Sequence[Path], config: Config) -> Iterator[np.ndarray]:
    """Yield the brightness of the images that can be read, reduced; the others are reported when all are read."""
    with progress("comparing good images", len(paths)) as bar:
        for path in paths:
            bar.advance()
            try:
                image = read_image(path, grayscale=config.grayscale)
            except InputError:
                continue
            planes = resize(np.moveaxis(image, 2, 0), COMPARED_SIDE, COMPARED_SIDE)
            yield brightness(planes / np.float32(white_of(image.dtype, config.bit_depth)))
