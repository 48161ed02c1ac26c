"""Leases exported for OpenSSH and for programs that read its config."""

from gpurent.api import make_translator

_ = make_translator(__name__)
