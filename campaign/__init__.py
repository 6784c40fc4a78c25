"""Robustness tests by fault injection and mutated inputs: `make campaign`."""
