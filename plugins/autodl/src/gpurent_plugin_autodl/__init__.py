"""AutoDL for gpurent: an account with a developer token, a balance in CNY, and metered machines of its Pro API."""

from gpurent.api import make_translator

_ = make_translator(__name__)
