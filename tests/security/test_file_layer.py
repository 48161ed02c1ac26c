"""Links on this computer lead no transfer out of its folder: not what is read, and not what is written."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from gpurent.domain.transfer import PullRequest, PushRequest, SkipKind, SkippedFile, TransferReport
from gpurent.domain.trip import TripSpec, UploadSpec
from gpurent.domain.trip_values import bind_to_project, make_trip_spec
from gpurent.errors import TransferError, UsageError
from gpurent.infra.config.project_file import read_project_file
from gpurent.infra.platform.posix import local_files
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import LOCAL_FILES
from gpurent.testing.ssh_fixture import MachineFixture
from gpurent.workflow.connection.left_out import archive_refused_files
from gpurent.workflow.connection.local_folder import check_results_folder
from gpurent.workflow.connection.upload_guard import UploadGuard
from gpurent.workflow.steps.upload import make_pushes
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.transfer_ways import BACKENDS, list_files

SECRET = b"-----BEGIN OPENSSH PRIVATE KEY-----"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A folder with links to a home folder that has a key."""
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "id_ed25519").write_bytes(SECRET)
    folder = tmp_path / "repository"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "words").write_bytes(b"x" * len(SECRET))
    (folder / "up").symlink_to("../home")
    (folder / "keys").symlink_to(tmp_path / "home" / ".ssh")
    return folder


def read_project(folder: Path, text: str) -> TripSpec:
    (folder / "gpurent.toml").write_text(text)
    project = read_project_file(folder / "gpurent.toml", datetime.now(UTC), Path("/nowhere"))
    return bind_to_project(make_trip_spec(project.values), project.make_origin(project.written))


@attack(
    Adversary.REPOSITORY,
    "a link in the repository leads an upload to the user's keys",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize("line", ['include = ["keys/id_ed25519"]', 'folder = "up/docs"', 'folder = "keys"'])
def test_no_path_of_a_project_goes_through_a_link(repository: Path, line: str) -> None:
    (repository.parent / "home" / "docs").mkdir()
    spec = read_project(repository, line)
    guard = UploadGuard(Path("/nowhere"), (), LOCAL_FILES)
    with pytest.raises(UsageError, match="symbolic link is on the way"):
        guard.check_upload(spec.upload)


@attack(
    Adversary.REPOSITORY,
    "such a link takes the place of a folder after the project was checked",
    Outcome.REFUSED,
    kind="S1",
)
async def test_a_backend_follows_no_link_to_a_source(
    machine: MachineFixture, repository: Path, way: str
) -> None:
    connection = await machine.connect()
    (push,) = make_pushes(UploadSpec(folder=str(repository), include=("keys/id_ed25519",)), "work")
    with pytest.raises(UsageError, match="symbolic link is on the way"):
        await BACKENDS[way]().push(connection, push, CountingProgress())
    whole = PushRequest(sources=(repository,), target="work", contents_only=True)
    report = await BACKENDS[way]().push(connection, whole, CountingProgress())
    assert {item.name for item in report.skipped} == {"up", "keys"}
    assert list_files(machine.home / "work") == ["data/words"]


class SwappingProgress(CountingProgress):
    """Runs ``swap`` when the listing is done and nothing has been read."""

    def __init__(self, swap: Callable[[], None]) -> None:
        super().__init__()
        self._swap: Callable[[], None] | None = swap

    def set_total(self, files: int, size: int) -> None:
        if self._swap is not None and files:
            self._swap()
            self._swap = None
        super().set_total(files, size)


@attack(
    Adversary.LOCAL_USER,
    "a link takes the place of a folder between its listing and the reading of its files",
    Outcome.HARMLESS,
    kind="S1",
)
async def test_a_link_that_comes_during_an_upload_is_not_followed(
    machine: MachineFixture, repository: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words, key = repository / "data" / "words", repository.parent / "home" / ".ssh" / "words"
    key.write_bytes(SECRET)
    monkeypatch.setattr(local_files, "_MAX_OPEN_FOLDERS", 0)  # it does not stay open after its listing
    (repository / "more").mkdir()
    (repository / "more" / "words").write_bytes(b"x")
    os.utime(key, ns=(0, words.stat().st_mtime_ns))

    def swap() -> None:
        (repository / "data").rename(repository.parent / "moved")
        (repository / "data").symlink_to("keys")

    push = PushRequest(sources=(repository,), target="work", contents_only=True)
    with suppress(TransferError):  # it may say that the file has vanished
        await BACKENDS[way]().push(await machine.connect(), push, SwappingProgress(swap))
    assert (repository / "data").is_symlink()
    assert not any(SECRET in path.read_bytes() for path in machine.home.rglob("*") if path.is_file())


@attack(
    Adversary.REPOSITORY,
    "results_dir, or a result, is a link to a folder outside, such as ~/.ssh",
    Outcome.REFUSED,
    kind="S1",
)
@pytest.mark.parametrize(
    "text",
    [
        'results_dir = "keys"\nresults = ["authorized_keys"]',
        'results_dir = "up/.config"\nresults = ["autostart"]',
        'results = ["keys/authorized_keys"]',
        'results_dir = "keys"',
    ],
)
def test_results_are_written_through_no_link_of_a_project(repository: Path, text: str) -> None:
    spec = read_project(repository, f"{text}\n")
    with pytest.raises(UsageError, match="is a symbolic link"):
        check_results_folder(spec)


def test_a_results_folder_that_the_user_names_may_be_a_link(repository: Path) -> None:
    spec = make_trip_spec(
        {"folder": str(repository), "results_dir": str(repository / "up"), "results": ("a",)}
    )
    check_results_folder(spec)
    LOCAL_FILES.open_tree(Path(spec.results.dir)).close()


@attack(
    Adversary.REPOSITORY,
    "a link takes the place of a results folder after the project was checked",
    Outcome.REFUSED,
    kind="S1",
)
async def test_a_download_follows_no_link_to_its_folder(
    machine: MachineFixture, repository: Path, way: str
) -> None:
    (machine.home / "authorized_keys").write_text("ssh-ed25519 attacker")
    connection = await machine.connect()
    for folder in ("keys", "up/.ssh"):
        pull = PullRequest(sources=("authorized_keys",), target=repository, folder=folder)
        with pytest.raises(TransferError, match="a symbolic link or a file is in the way"):
            await BACKENDS[way]().pull(connection, pull, CountingProgress())
        refused = SkippedFile(
            name="a",
            reason="b",
            kind=SkipKind.NAME,
            remote_path=quote_from_bytes(b"authorized_keys"),
            size=20,
        )
        with pytest.raises(TransferError, match="cannot be written here"):
            await archive_refused_files(
                LOCAL_FILES,
                connection,
                pull,
                TransferReport(files=0, total=0, sent=0, resumed=0, seconds=0.0, skipped=(refused,)),
                "origin",
                CountingProgress(),
            )
    assert list_files(repository.parent / "home") == [".ssh/id_ed25519"]
    below = PullRequest(sources=("authorized_keys",), target=repository, folder="new/sub")
    await BACKENDS[way]().pull(connection, below, CountingProgress())
    assert list_files(repository / "new") == ["sub/authorized_keys"]
