"""Reference exchange rates of the European Central Bank for gpurent."""

from gpurent.api import make_translator

_ = make_translator(__name__)
