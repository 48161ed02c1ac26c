"""``gpurent top``: needs textual, an optional extra of the distribution."""
