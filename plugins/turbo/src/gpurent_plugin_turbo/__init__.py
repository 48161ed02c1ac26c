"""File transfer over several SSH lines at once for gpurent."""
