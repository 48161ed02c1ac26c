"""The contract of a launcher, for the built-in one."""

from __future__ import annotations

import pytest

from gpurent.infra.registry.plain_launcher import PlainLauncher
from gpurent.roles.machine import Launcher
from gpurent.testing.contracts import LauncherContract


class TestPlainLauncher(LauncherContract):
    @pytest.fixture
    def launcher(self) -> Launcher:
        return PlainLauncher()
