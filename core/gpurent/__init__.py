"""gpurent rents GPU servers by the hour; every provider, wallet and tool is a plugin."""

__version__ = "0.1.0"
