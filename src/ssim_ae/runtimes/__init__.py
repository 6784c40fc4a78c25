"""Runtimes: the libraries that run a trained network, patches in and outputs out."""
