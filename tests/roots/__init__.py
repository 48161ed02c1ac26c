"""Roots of losses and of attacks that were mended, put back one by one: what watches for each must catch it."""
