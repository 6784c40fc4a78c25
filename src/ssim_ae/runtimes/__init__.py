"""Runtimes: the libraries that run a trained network, patches in and reconstructions out."""
