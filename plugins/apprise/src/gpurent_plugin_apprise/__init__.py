"""Messages over Apprise for gpurent."""

from gpurent.api import translator

_ = translator(__name__)
