"""Roots of attacks, each of which a test must catch: see `tests.roots`."""
