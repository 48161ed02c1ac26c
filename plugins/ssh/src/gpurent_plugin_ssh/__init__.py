"""Any host of the user's own as a lease."""

from gpurent.api import make_translator

_ = make_translator(__name__)
