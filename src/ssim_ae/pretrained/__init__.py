"""Frozen networks of other people: the reader of their weights, and the part of each network that is used."""
