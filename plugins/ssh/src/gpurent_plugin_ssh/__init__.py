"""Any host of the user's as a lease."""

from gpurent.api import translator

_ = translator(__name__)
