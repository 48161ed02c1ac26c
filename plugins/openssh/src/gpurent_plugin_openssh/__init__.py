"""Leases for OpenSSH and what reads its config."""
