"""The local side of a push."""
