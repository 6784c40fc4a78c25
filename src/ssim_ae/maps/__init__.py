"""Residual maps and anomaly maps: normalization, regions, minimum area, tiles, levels, verdict."""
