"""The contract of the transfer role, over every way that turbo has to the far side."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts.early import EarlyTransferContract
from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent_plugin_turbo.backend import Turbo


class TestEmbedded(TransferContract):
    def backend(self) -> Turbo:
        return Turbo({})


@pytest.mark.bwrap
class TestOpenSsh(TransferContract):
    driver = "bwrap"

    def backend(self) -> Turbo:
        return Turbo({})


@pytest.mark.bwrap
class TestFullDisk(FullDiskContract):
    def backend(self) -> Turbo:
        return Turbo({})


class TestEarly(EarlyTransferContract):
    def backend(self) -> Turbo:
        return Turbo({})


@pytest.mark.bwrap
class TestEarlyOpenSsh(EarlyTransferContract):
    driver = "bwrap"

    def backend(self) -> Turbo:
        return Turbo({})
