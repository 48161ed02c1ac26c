"""PyTorch on several GPUs. Nothing here imports torch before it is used."""

from gpurent.api import translator

_ = translator(__name__)
