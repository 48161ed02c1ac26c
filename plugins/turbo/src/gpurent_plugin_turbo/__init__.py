"""File transfer over several parallel SSH connections, for gpurent."""

from gpurent import api


def _(message: str) -> str:
    """``message`` in the user's language. A function, so that a push can connect before the translator is loaded."""
    return api.make_translator(__name__)(message)
