"""The examination of a machine: what is run there, and how its output is judged."""
