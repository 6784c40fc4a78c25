"""Inspection of any number of images as a job: listed in a stream, cut into parts, each written when it is complete."""
