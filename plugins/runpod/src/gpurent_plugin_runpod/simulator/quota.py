"""How often an account may call: the windows of the documentation's examples, told in headers on every answer."""

from __future__ import annotations

from datetime import datetime, timedelta

from gpurent_plugin_runpod.simulator.problem import Problem

WINDOWS = (("minute", 60, 60), ("hour", 3000, 3600), ("day", 50_000, 86_400))
"""Name, calls, seconds. Assumed: a window begins with its first call."""


class Quota:
    """Counts calls by the provider's time; the setting ``pacing = on`` lets it refuse those above the quota."""

    def __init__(self, setting: str) -> None:
        self.is_on = setting == "on"
        self._windows: dict[tuple[str, str], tuple[datetime, int]] = {}

    def count_call(self, account: str, now: datetime) -> dict[str, str]:
        """Return the headers of the answer. Raises `Problem` 429 above the quota; such a call does not count."""
        left: dict[str, tuple[int, int]] = {}
        exceeded: tuple[str, int] | None = None
        for name, calls, seconds in WINDOWS:
            start, used = self._windows.get((account, name), (now, 0))
            if now - start >= timedelta(seconds=seconds):
                start, used = now, 0
            reset = seconds - (now - start) // timedelta(seconds=1)
            if self.is_on and used >= calls:
                exceeded = exceeded or (name, reset)
            else:
                used += 1
            self._windows[account, name] = (start, used)
            left[name] = (max(0, calls - used), reset)
        headers = {
            "RateLimit": ", ".join(f'"{name}";r={rest};t={reset}' for name, (rest, reset) in left.items()),
            "RateLimit-Policy": ", ".join(
                f'"{name}";q={calls};w={seconds}' for name, calls, seconds in WINDOWS
            ),
        }
        if exceeded is not None:
            name, reset = exceeded
            text = f"rate limit exceeded for the {name} window"
            raise Problem(429, text, headers={**headers, "Retry-After": str(reset)})
        return headers
