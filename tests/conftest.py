"""Hypothesis and signals for all tests: the machine may be slow, and a failure must come back on the next run."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gpurent", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("gpurent")

# A job in the background is started with it ignored, and would hand that on to every command that is tried.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
