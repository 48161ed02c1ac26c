"""The near side of a push."""
