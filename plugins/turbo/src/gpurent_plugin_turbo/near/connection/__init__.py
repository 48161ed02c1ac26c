"""Connections to the machine, and how much each of them carries."""
