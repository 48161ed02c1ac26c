"""Faults that authors make, put into copies of plugins: the shipped contracts have to catch each."""
