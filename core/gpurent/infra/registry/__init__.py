"""Installed plugins and what they registered."""
