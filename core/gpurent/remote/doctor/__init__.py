"""The examination of a machine: what is run there, and what its output means."""
