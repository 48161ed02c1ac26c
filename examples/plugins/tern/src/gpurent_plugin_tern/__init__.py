"""Tern Cloud as a provider for gpurent."""

from gpurent.api import make_translator

_ = make_translator(__name__)
