"""PyTorch on several GPUs. Nothing here imports torch before it is used."""

from gpurent.api import make_translator

_ = make_translator(__name__)
