"""RunPod for gpurent: an account with an API key, a balance in USD, and metered pods that are reached by key."""

from gpurent.api import make_translator

_ = make_translator(__name__)
