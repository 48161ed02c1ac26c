"""MISTGPU for gpurent: account, balance and metered leases that start on a CPU machine."""
