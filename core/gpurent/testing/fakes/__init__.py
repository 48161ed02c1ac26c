"""Fakes of what core gives to a plugin and of external services: real behaviour, no network, no real time."""

from gpurent.testing.fakes.clock import START, ManualClock
from gpurent.testing.fakes.connection import FakeConnection
from gpurent.testing.fakes.context import FakePluginContext
from gpurent.testing.fakes.http import FaultyHttp, HttpFaults
from gpurent.testing.fakes.machine import FakeMachine
from gpurent.testing.fakes.machines import FakeMachines
from gpurent.testing.fakes.mail import ADDRESS, FakeMailbox, FakePostOffice
from gpurent.testing.fakes.progress import CountingProgress
from gpurent.testing.fakes.storage import MemoryState, MemoryVault, ProcessKilled
from gpurent.testing.fakes.user import FakeUser

__all__ = [
    "ADDRESS",
    "START",
    "CountingProgress",
    "FakeConnection",
    "FakeMachine",
    "FakeMachines",
    "FakeMailbox",
    "FakePluginContext",
    "FakePostOffice",
    "FakeUser",
    "FaultyHttp",
    "HttpFaults",
    "ManualClock",
    "MemoryState",
    "MemoryVault",
    "ProcessKilled",
]
