"""Leases as profiles of desktop programs."""

from gpurent.api import translator

_ = translator(__name__)
