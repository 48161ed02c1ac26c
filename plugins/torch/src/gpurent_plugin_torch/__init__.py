"""PyTorch on several GPUs. Nothing here imports torch before it is used."""
