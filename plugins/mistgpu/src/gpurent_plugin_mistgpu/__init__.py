"""MISTGPU for gpurent: account, balance and metered leases that start on a CPU machine."""

from gpurent.api import translator

_ = translator(__name__)
