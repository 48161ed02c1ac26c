"""gpurent on Windows: in every run under a fake Windows, and by Windows' own Python where Wine is."""
