"""Runs on the rented machine: travels there as source; any Python from 3.7 on, the standard library."""
