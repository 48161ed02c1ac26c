"""Connections to the machine and how much data each of them may carry."""
