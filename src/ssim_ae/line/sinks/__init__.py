"""Sinks: where the messages of a station are sent."""
