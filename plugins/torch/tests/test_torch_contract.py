"""The contract of a launcher, for torchrun on a machine without PyTorch."""

from __future__ import annotations

import pytest

from gpurent.api import Launcher
from gpurent.testing.contracts import LauncherContract
from gpurent_plugin_torch.launcher import TorchrunLauncher


class TestTorchrun(LauncherContract):
    @pytest.fixture
    def launcher(self) -> Launcher:
        return TorchrunLauncher()
