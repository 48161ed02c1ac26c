"""1024GPU for gpurent: leases paid ahead for a term."""
