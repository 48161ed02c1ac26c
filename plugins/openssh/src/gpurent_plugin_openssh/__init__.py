"""Leases for OpenSSH and what reads its config."""

from gpurent.api import translator

_ = translator(__name__)
