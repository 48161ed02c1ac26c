"""Leases as profiles of desktop programs."""
