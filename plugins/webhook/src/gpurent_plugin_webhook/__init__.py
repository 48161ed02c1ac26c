"""A web hook for gpurent."""
