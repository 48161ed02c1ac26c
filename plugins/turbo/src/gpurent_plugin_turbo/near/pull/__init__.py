"""The near side of a pull."""
