"""What small machines have: busybox, no `stat`, no `sha256sum`, no `gzip`, other shells. The scripts really run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from gpurent.api import PullRequest, PushRequest, TransferError, TransferUnsupported, UnavailableError
from gpurent.testing.contracts.file_trees import ODD_NAMES, make_tree, read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_sources, open_target
from gpurent.testing.unprivileged import run_as_unprivileged_user
from gpurent_plugin_turbo.near.prune import RemoteEntry
from gpurent_plugin_turbo.posix.prune import PosixPruner
from gpurent_plugin_turbo.posix.pull import PosixPuller
from gpurent_plugin_turbo.posix.push import PosixPusher
from gpurent_plugin_turbo.shared.files import make_partial_name
from plugins.turbo.tests.posix.minimal_machine import SHELLS, MinimalMachine, make_odd_tree


def test_everything_is_uploaded_once(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), make_odd_tree(tmp_path / "source")
    machine.push(source)
    remote_path = machine.home / "work"
    assert read_tree(remote_path) == read_tree(source)
    assert (remote_path / "hard").samefile(remote_path / "large.bin")
    assert (remote_path / "sparse").stat().st_blocks < 10_000
    assert not (remote_path / ".gpurent-part").exists()
    again = machine.push(source)
    assert again.sent == 0  # type: ignore[attr-defined]
    assert read_tree(remote_path) == read_tree(source)


def test_extraneous_files_are_deleted(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), make_tree(tmp_path / "source", files=4, large=0)
    machine.push(source)
    remote_path = machine.home / "work"
    for name in ODD_NAMES:
        (remote_path / "part1" / "older" / name).mkdir(parents=True)
        (remote_path / "part1" / "older" / name / "-x\n").write_text("x")
    (remote_path / "out").symlink_to(tmp_path)
    request = PushRequest(sources=(source,), target="work", contents_only=True, delete=True, dry_run=True)
    report = PosixPruner(request, open_sources(request), machine.open_shell).run()
    assert len(report) == 2 * len(ODD_NAMES) + 2
    assert (remote_path / "part1" / "older" / "-rf").exists()
    request = PushRequest(sources=(source,), target="work", contents_only=True, delete=True)
    assert PosixPruner(request, open_sources(request), machine.open_shell).run() == report
    assert read_tree(remote_path) == read_tree(source)
    assert source.exists()


def test_folder_that_became_a_link_is_left_alone(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), make_tree(tmp_path / "source", files=4, large=0)
    machine.push(source)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").write_text("kept")
    pruner = PosixPruner(
        (request := PushRequest(sources=(source,), target="work", contents_only=True, delete=True)),
        open_sources(request),
        machine.open_shell,
    )
    (machine.home / "work" / "trap").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(TransferError, match="leads out"):
        pruner._delete_entries([RemoteEntry(b"trap/kept", is_folder=False)])
    assert (tmp_path / "elsewhere" / "kept").exists()


@pytest.mark.parametrize(
    "missing",
    [
        "stat",
        "readlink",
        *(pytest.param(tool, marks=pytest.mark.nightly) for tool in ("sha256sum", "gzip", "find", "df")),
    ],
)
def test_optional_tools_may_be_missing(tmp_path: Path, missing: str) -> None:
    machine, source = MinimalMachine(tmp_path, SHELLS[0], missing), make_odd_tree(tmp_path / "source")
    machine.push(source)
    assert read_tree(machine.home / "work") == read_tree(source)
    if missing in ("stat", "find"):
        with pytest.raises(TransferUnsupported):
            machine.pull(tmp_path / "to")
        with pytest.raises(TransferError, match="no find or stat"):
            PosixPruner(
                (request := PushRequest(sources=(source,), target="work", contents_only=True, delete=True)),
                open_sources(request),
                machine.open_shell,
            ).run()
    else:
        report = machine.pull(tmp_path / "to")
        reason = {item.name: item.reason for item in report.skipped}["work/broken"]  # type: ignore[attr-defined]
        assert ("does not report" in reason) == (missing == "readlink")
        assert (tmp_path / "to" / "work" / "large.bin").read_bytes() == (source / "large.bin").read_bytes()


@pytest.mark.parametrize("missing", ["tar", "head"])
def test_missing_required_tools_are_reported_before_any_transfer(tmp_path: Path, missing: str) -> None:
    machine = MinimalMachine(tmp_path, SHELLS[0], missing)
    with pytest.raises(TransferUnsupported, match="tar and head"):
        machine.push(make_tree(tmp_path / "source", files=3, large=0))
    with pytest.raises(TransferUnsupported, match="tar and head"):
        machine.pull(tmp_path / "to")
    assert not list(machine.home.iterdir())


def test_full_verification_ignores_size_and_time(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), make_tree(tmp_path / "source", files=5)
    machine.push(source)
    for name in ("part0/file000.txt", "part1/file001.txt", "large.bin"):
        remote_path, stamp = machine.home / "work" / name, (source / name).stat().st_mtime_ns
        remote_path.chmod(0o644)
        remote_path.write_bytes(bytes(remote_path.stat().st_size))
        os.utime(remote_path, ns=(stamp, stamp))
    machine.push(source, verify="full")
    assert {k: v[-1] for k, v in read_tree(machine.home / "work").items()} == {
        k: v[-1] for k, v in read_tree(source).items()
    }


def test_large_file_is_resumed(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(12_000_000))
    pusher = PosixPusher(
        (request := PushRequest(sources=(source,), target="work", contents_only=True)),
        open_sources(request),
        CountingProgress(),
        machine.open_shell,
    )
    real = pusher._shell.run_script

    def cut(script: bytes, *args: object, **more: object) -> object:
        if b"mv -f" in script.rpartition(b"P=")[2]:
            raise UnavailableError("cut", retryable=True)
        return real(script, *args, **more)  # type: ignore[arg-type]

    pusher._shell.run_script = cut  # type: ignore[method-assign,assignment]
    with pytest.raises(UnavailableError):
        pusher.run()
    (part,) = (machine.home / "work" / ".gpurent-part").iterdir()
    with part.open("r+b") as file:
        file.truncate(9_000_001)
    report = machine.push(source)
    assert report.resumed == 9_000_001  # type: ignore[attr-defined]
    assert report.sent < 3_100_000  # type: ignore[attr-defined]
    assert read_tree(machine.home / "work") == read_tree(source)
    home = tmp_path / "to"
    machine.pull(home)
    (home / "work" / "f").unlink()
    puller = PosixPuller(
        (pull := PullRequest(sources=("work",), target=home)),
        open_target(pull),
        CountingProgress(),
        machine.open_shell,
    )
    stamp = (machine.home / "work" / "f").stat().st_mtime_ns
    (home / ".gpurent-part").mkdir()
    (home / ".gpurent-part" / os.fsdecode(make_partial_name(b"work/f", 12_000_000, stamp))).write_bytes(
        (source / "f").read_bytes()[:9_000_001]
    )
    report = puller.run()
    assert report.resumed > 8_900_000
    assert read_tree(home / "work") == read_tree(source)


def test_partial_of_another_file_is_restarted(tmp_path: Path, shell: str) -> None:
    machine, source = MinimalMachine(tmp_path, shell), tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(3_000_000))
    stamp = (source / "f").stat().st_mtime_ns
    partials = machine.home / "work" / ".gpurent-part"
    partials.mkdir(parents=True)
    (partials / os.fsdecode(make_partial_name(b"f", 3_000_000, stamp))).write_bytes(b"x" * 2_000_000)
    (partials / "s123").mkdir()
    machine.push(source)
    assert read_tree(machine.home / "work") == read_tree(source)
    assert not partials.exists()


def test_vanished_file_is_reported(tmp_path: Path) -> None:
    machine, source = MinimalMachine(tmp_path, SHELLS[0]), make_tree(tmp_path / "source", files=5, large=0)
    for name, size in (("gone.bin", 3_000_000), ("small", 3)):
        (source / name).write_bytes(b"x" * size)

    class DeletingTally(CountingProgress):
        def set_total(self, files: int, size: int) -> None:
            (source / "gone.bin").unlink()
            (source / "small").unlink()

    with pytest.raises(TransferError, match=r"small: vanished.*gone\.bin: vanished"):
        PosixPusher(
            (request := PushRequest(sources=(source,), target="work", contents_only=True)),
            open_sources(request),
            DeletingTally(),
            machine.open_shell,
        ).run()
    assert read_tree(machine.home / "work") == read_tree(source)


def test_folder_in_place_of_a_file_is_reported(tmp_path: Path, shell: str) -> None:
    machine, source = (
        MinimalMachine(tmp_path, shell),
        make_tree(tmp_path / "source", files=5, large=2_000_000),
    )
    (source / "link").symlink_to("nowhere")
    for name in ("part0/file000.txt", "large.bin", "link"):
        (machine.home / "work" / name / "in").mkdir(parents=True)
    with pytest.raises(TransferError, match=r"file000\.txt: .*large\.bin: .*link: "):
        machine.push(source)
    assert (machine.home / "work" / "part1" / "file001.txt").exists()
    for name in ("part0/file000.txt", "large.bin", "link"):
        assert [path.name for path in (machine.home / "work" / name).iterdir()] == ["in"]


def test_bandwidth_limit_is_respected(tmp_path: Path) -> None:
    machine, source = MinimalMachine(tmp_path, SHELLS[0]), tmp_path / "source"
    source.mkdir()
    (source / "f").write_bytes(os.urandom(1_500_000))
    started = time.monotonic()
    machine.push(source, bandwidth_limit=2_000_000)
    assert time.monotonic() - started > 0.6


def test_modes_and_times_are_kept_to_the_nanosecond(tmp_path: Path, shell: str) -> None:
    machine, source = (
        MinimalMachine(tmp_path, shell),
        make_tree(tmp_path / "source", files=3, large=2_000_000),
    )
    for mode, name in enumerate(("part0/file000.txt", "large.bin"), 0o4640):
        (source / name).chmod(mode)
        os.utime(source / name, ns=(10**18, 10**18 + 123_456_789))
    machine.push(source)
    for name in ("part0/file000.txt", "large.bin"):
        remote_path, local_stat = (machine.home / "work" / name).stat(), (source / name).stat()
        assert remote_path.st_mode == local_stat.st_mode
        assert remote_path.st_mtime_ns in (local_stat.st_mtime_ns, local_stat.st_mtime_ns // 10**9 * 10**9)
        assert shell == "busybox" or remote_path.st_mtime_ns == local_stat.st_mtime_ns


def test_target_on_another_disk_receives_everything(tmp_path: Path, shell: str) -> None:
    source = make_odd_tree(tmp_path / "source")
    with TemporaryDirectory(dir="/dev/shm") as other:
        if Path(other).stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("/dev/shm is no other disk here")
        MinimalMachine(tmp_path, shell).push(source, f"{other}/work")
        assert read_tree(Path(other, "work")) == read_tree(source)


def test_a_plain_user_keeps_modes(tmp_path: Path) -> None:
    """Also with busybox, whose tar applies the umask for everybody but root."""
    test = f"{__file__}::test_modes_and_times_are_kept_to_the_nanosecond"
    assert "1 passed" in run_as_unprivileged_user(tmp_path, f"{test}[busybox]", "-m", "")
