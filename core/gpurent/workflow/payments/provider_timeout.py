"""How long a provider, an account or a rate source may take to answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gpurent.errors import GpurentError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.workflow.runtime.settings import Settings

T = TypeVar("T")
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


async def ask_in_time(
    settings: Settings, ask: Callable[[], Awaitable[T]], describe_delay: Callable[[float], str]
) -> T | GpurentError:
    """Return the answer, or the error in its place; ``describe_delay`` says that none came within so many seconds."""
    seconds = read_provider_timeout(settings)
    try:
        async with asyncio.timeout(seconds):
            return await ask()
    except GpurentError as error:
        return error
    except TimeoutError:
        return UnavailableError(describe_delay(seconds), retryable=True)
