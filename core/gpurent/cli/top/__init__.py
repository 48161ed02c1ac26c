"""``gpurent top``: needs textual, an extra of the distribution."""
