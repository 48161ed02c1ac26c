"""How long a provider, an account or a rate source may take to answer."""

from __future__ import annotations

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.workflow.runtime.settings import Settings

DEFAULT_TIMEOUT = 30.0


def read_provider_timeout(settings: Settings) -> float:
    """Return the timeout for a provider's answer in real seconds: ``[offers] timeout``."""
    text = settings.get("offers", "timeout", f"{DEFAULT_TIMEOUT:g}")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 600:
        raise UsageError(
            _("[offers] timeout must be a number of seconds, at most 600, not {text}").format(text=repr(text))
        )
    return seconds
