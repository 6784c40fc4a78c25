"""Choose the test images that a report shows, of more than it can show."""

from __future__ import annotations

from collections.abc import Sequence

from ssim_ae.evaluation.contact_sheet import correct_by_distance, errors_by_distance
from ssim_ae.evaluation.results import ImageResult
from ssim_ae.sampling import equal_intervals
from ssim_ae.spelling import counted

MAX_SHOWN = 2000  # images; of more, the following are shown:
MAX_SHOWN_ERRORS = 1000  # those farthest from the threshold
SHOWN_CLOSEST = 500  # correct verdicts closest to the threshold, alternately of each defect type
SHOWN_OTHERS = 500  # of the others, at equal intervals


def choose_shown(results: Sequence[ImageResult]) -> tuple[list[ImageResult], str]:
    """Return the results that a report shows, in their order, and how they were chosen, in words if not all are."""
    if len(results) <= MAX_SHOWN:
        return list(results), ""
    errors, correct = errors_by_distance(results), correct_by_distance(results)
    others = sorted(correct[SHOWN_CLOSEST:], key=lambda result: result.image.path)
    intervals = equal_intervals(len(others), SHOWN_OTHERS)
    chosen = {
        result.image.path
        for some in (errors[:MAX_SHOWN_ERRORS], correct[:SHOWN_CLOSEST], [others[index] for index in intervals])
        for result in some
    }
    if len(errors) > MAX_SHOWN_ERRORS:
        which = f"the {MAX_SHOWN_ERRORS} of {counted(len(errors), 'error')} farthest from the threshold"
    else:
        which = f"all {counted(len(errors), 'error')}" if errors else "no errors"
    return [result for result in results if result.image.path in chosen], (
        f"{len(chosen)} of {counted(len(results), 'image')} are shown: {which}, the correct verdicts closest to the "
        f"threshold ({min(SHOWN_CLOSEST, len(correct))}), and others at equal intervals ({len(intervals)}); "
        "all figures are of all images"
    )
