"""Hypothesis as these tests use it: the machine may be slow, and a failure must come back on the next run."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gpurent", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("gpurent")
