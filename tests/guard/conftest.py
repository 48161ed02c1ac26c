"""The event loop of each test here: real, or with time that jumps (the marker ``virtual_time``)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from gpurent.testing.fakes.virtual_time import VirtualTimeLoop


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "virtual_time: waiting takes no time (gpurent.testing.fakes.virtual_time)"
    )


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time") is not None:
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
