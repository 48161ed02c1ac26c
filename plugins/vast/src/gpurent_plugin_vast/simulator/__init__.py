"""The simulator of the vast.ai API."""
