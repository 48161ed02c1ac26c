"""Roots of losses, each of which a family of the harness must catch: see `tests.roots`."""
