"""For all tests: slow computers are allowed for, a failure recurs on the next run, and waiting can take no time."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, settings

from gpurent.testing.fakes.virtual_time import VirtualTimeLoop
from tests import suspending_store

settings.register_profile(
    "gpurent", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.load_profile("gpurent")

# A background job starts with SIGINT ignored, and `nohup` ignores SIGHUP: every command run by the tests would inherit
# that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_configure(config: pytest.Config) -> None:
    suspending_store.install_if_wanted()
    config.addinivalue_line(
        "markers", "virtual_time: waiting takes no time (gpurent.testing.fakes.virtual_time)"
    )


def pytest_collection_finish() -> None:
    # Thousands of tests live as long as the process: looking through them again and again took a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
