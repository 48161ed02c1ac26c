"""MISTGPU for gpurent: account, balance, and metered leases that start on a CPU machine."""

from gpurent.api import make_translator

_ = make_translator(__name__)
