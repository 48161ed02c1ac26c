"""Leases for OpenSSH and what reads its config."""

from gpurent.api import make_translator

_ = make_translator(__name__)
