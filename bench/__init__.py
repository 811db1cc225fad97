"""Measurements: not part of the server and not timed tests."""
