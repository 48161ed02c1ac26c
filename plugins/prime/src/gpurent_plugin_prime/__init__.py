"""Prime Intellect for gpurent: an API key, a wallet in USD, and pods of many clouds that are reached by key."""

from gpurent.api import make_translator

_ = make_translator(__name__)
