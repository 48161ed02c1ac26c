"""Roots of losses that were mended, put back one by one: the harness must catch each."""
