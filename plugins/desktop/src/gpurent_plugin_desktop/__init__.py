"""Leases as profiles of desktop programs."""

from gpurent.api import make_translator

_ = make_translator(__name__)
