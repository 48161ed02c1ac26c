"""The contract of the transfer role, over every way that turbo has to the far side."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.testing.contracts.early import EarlyTransferContract
from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.permissions import FarPermissionsContract, NearPermissionsContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.ordinary import run_as_ordinary_user
from gpurent.testing.sandbox.machines import why_not_bwrap
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


@pytest.mark.bwrap
class TestPermissionsThere(FarPermissionsContract):
    def backend(self) -> Turbo:
        return Turbo({})


class TestPermissionsHere(NearPermissionsContract):
    def backend(self) -> Turbo:
        return Turbo({})


@pytest.mark.bwrap
async def test_permissions_here_as_an_ordinary_user(tmp_path: Path) -> None:
    if why := await why_not_bwrap():
        pytest.skip(why)
    run_as_ordinary_user(tmp_path, f"{__file__}::TestPermissionsHere")


@pytest.mark.bwrap
@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_everything_as_an_ordinary_user(tmp_path: Path) -> None:
    if why := await why_not_bwrap():
        pytest.skip(why)
    run_as_ordinary_user(tmp_path, __file__, "-k", "not ordinary_user")
