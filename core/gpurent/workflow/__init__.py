"""The trip: one straight walk of journaled steps, and the single legs of it as commands."""
