"""How long things last, and who ends them in time."""
