"""The fake service that `gpurent sandbox` starts."""
