"""Installed plugins and their entries."""
