"""Lambda Cloud for gpurent: an API key, machines that are reached by key, and an account that is billed afterwards."""

from gpurent.api import make_translator

_ = make_translator(__name__)
