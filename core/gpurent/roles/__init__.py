"""What plugins implement (ABCs), register (entries, hooks) and are given (contexts)."""
