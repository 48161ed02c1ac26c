"""The contract of the transfer role."""

from __future__ import annotations

import pytest

from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent_plugin_sftp.backend import Sftp


class TestEmbedded(TransferContract):
    def backend(self) -> Sftp:
        return Sftp()


@pytest.mark.bwrap
class TestOpenSsh(TransferContract):
    driver = "bwrap"

    def backend(self) -> Sftp:
        return Sftp()


@pytest.mark.bwrap
class TestFullDisk(FullDiskContract):
    def backend(self) -> Sftp:
        return Sftp()
