"""The contract of the transfer backend, over every way in which turbo reaches the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpurent.testing.contracts.full_disk import FullDiskContract
from gpurent.testing.contracts.left_out import UploadPreviewContract
from gpurent.testing.contracts.permissions import LocalPermissionsContract, RemotePermissionsContract
from gpurent.testing.contracts.predial import PredialContract
from gpurent.testing.contracts.transfer import TransferContract
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.sandbox.machines import find_bwrap_problem
from gpurent.testing.unprivileged import run_as_unprivileged_user
from gpurent_plugin_turbo.backend import TurboBackend


@pytest.mark.nightly
class TestTurboEmbedded(TransferContract, UploadPreviewContract):
    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.bwrap
@pytest.mark.nightly
class TestTurboOpenSsh(TransferContract):
    driver = "bwrap"

    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.bwrap
class TestTurboFullDisk(FullDiskContract):
    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


class TestTurboEarlyTransfer(PredialContract):
    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.bwrap
class TestTurboEarlyTransferOpenSsh(PredialContract):
    driver = "bwrap"

    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.bwrap
class TestTurboRemotePermissions(RemotePermissionsContract):
    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


class TestTurboLocalPermissions(LocalPermissionsContract):
    def make_backend(self) -> TurboBackend:
        return TurboBackend({}, LOCAL_FILES)


@pytest.mark.nightly
@pytest.mark.bwrap
async def test_local_permissions_as_an_ordinary_user(tmp_path: Path) -> None:
    if problem := await find_bwrap_problem():
        pytest.skip(problem)
    run_as_unprivileged_user(tmp_path, f"{__file__}::TestTurboLocalPermissions")


@pytest.mark.bwrap
@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_everything_as_an_ordinary_user(tmp_path: Path) -> None:
    if problem := await find_bwrap_problem():
        pytest.skip(problem)
    run_as_unprivileged_user(tmp_path, __file__, "-k", "not ordinary_user")
