"""Placeholder."""


class FeatureFitter:
    def __init__(self, config, good):
        raise NotImplementedError
