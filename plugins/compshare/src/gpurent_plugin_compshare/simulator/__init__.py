"""The simulator of the CompShare API."""
