"""Settings that other settings leave without effect: named before any work, not ignored."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, NamedTuple

from ssim_ae.console import print_note
from ssim_ae.errors import InputError

if TYPE_CHECKING:
    from ssim_ae.config.config import Config


class _Effect(NamedTuple):
    """Settings, when they have an effect, and what to do if they have none."""

    keys: tuple[str, ...]
    applies: Callable[[Config], bool]
    advice: str


ESTIMATOR_OF = {  # settings that only one estimator uses
    "false_alarm_rate": "false_alarm_rate",
    "percent": "percent",
    "k_sigma": "k_sigma",
    "min_area": "max_area",
}
AUGMENTATIONS = ("rotate_angle", "p_rotate", "p_horizontal_flip", "p_vertical_flip", "illumination_std")
EFFECTS = (
    *(
        _Effect((key,), lambda config, name=name: config.threshold == name, f"add --threshold {name}")  # type: ignore[misc]
        for key, name in ESTIMATOR_OF.items()
    ),
    _Effect(("epochs",), lambda config: not config.minutes, "minutes replaces it; give one of them"),
    _Effect(
        ("resolution", "smallest_defect"),
        lambda config: config.im_resize is None,
        "im_resize replaces it; add --im_resize -1",
    ),
    _Effect(
        ("resolution",), lambda config: not config.smallest_defect, "smallest_defect replaces it; give one of them"
    ),
    _Effect(("lr_peak_factor",), lambda config: config.schedule == "one_cycle", "add --schedule one_cycle"),
    _Effect(AUGMENTATIONS, lambda config: config.do_aug, "add --do_aug True"),
    _Effect(("rotate_angle",), lambda config: config.p_rotate > 0, "set p_rotate above 0"),
    _Effect(("aug_dir",), lambda config: config.do_aug and not config.online_aug, "add --online_aug False"),
    _Effect(
        ("stride",),
        lambda config: config.im_resize is None or config.tiled,
        "the images are not inspected in tiles; leave it out",
    ),
)


def note_unused_estimators(config: Config, source: str) -> None:
    """Print a note for each setting of a file that only an estimator uses which the file does not choose.

    A file that chooses its estimator may list the settings of all.
    """
    given = config.model_fields_set
    if "threshold" in given or config.given_thresholds:
        return
    for key in sorted(ESTIMATOR_OF.keys() & given):
        if (estimator := ESTIMATOR_OF[key]) != config.threshold:
            note = f"{key} has no effect with threshold {config.threshold}; --threshold {estimator} uses it"
            print_note(f"{source}: {note}")


def check_have_effect(given: Collection[str], config: Config) -> None:
    """Raise InputError, one line, if a setting given on the command line has no effect in a configuration.

    In a YAML file, which may list all settings, such settings are accepted.
    """
    for keys, applies, advice in EFFECTS:
        for key in keys:
            if key in given and not applies(config):
                raise InputError(f"--{key}: no effect with the other settings; {advice}")
