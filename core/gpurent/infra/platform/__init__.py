"""Differences between operating systems, behind the `Platform` port."""
