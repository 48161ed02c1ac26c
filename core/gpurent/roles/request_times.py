"""When a request was sent, in the service's own time, which only its answer may tell."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from gpurent.ports.system import ProviderClock


def begin_request(clock: ProviderClock) -> Callable[[], datetime]:
    """Begin a request; once its answer is there, what is returned tells when it was sent, in the service's time.

    `PluginContext.clock` before the first answer of a process is this computer's own, which may be wrong by days.
    """
    sent_at = clock.to_wall_time(clock.now())
    return lambda: clock.from_wall_time(sent_at)
