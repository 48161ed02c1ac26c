"""The local side of a pull."""
