"""Intervals of proportions."""

from math import nan, sqrt

Z_95 = 1.959963984540054  # standard normal quantile of a 95 % interval


def wilson(successes: int, total: int) -> tuple[float, float]:
    """Return the 95 % score interval of a proportion; NaN for a total of 0 (Wilson 1927)."""
    if not 0 <= successes <= total:
        raise ValueError(f"expected 0 to {total} successes, got {successes}")
    if not total:
        return nan, nan
    failures = total - successes
    center = successes + Z_95**2 / 2
    half_width = Z_95 * sqrt(successes * failures / total + Z_95**2 / 4)
    low, high = ((center + side) / (total + Z_95**2) for side in (-half_width, half_width))
    # Rounding errors must not move the bounds of the proportions 0 and 1 outside [0, 1].
    return low if successes else 0.0, high if failures else 1.0
