"""Pulls from small machines: links, and files that keep changing. The scripts really run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpurent.api import PullRequest, TransferError
from gpurent.testing.contracts.changing_files import CallOnceProgress
from gpurent.testing.contracts.file_trees import make_tree, read_tree
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import open_target
from gpurent_plugin_turbo.posix.pull import PosixPuller
from plugins.turbo.tests.posix.minimal_machine import SHELLS, MinimalMachine, make_odd_tree


def test_everything_allowed_is_downloaded(tmp_path: Path, shell: str) -> None:
    machine = MinimalMachine(tmp_path, shell)
    source = make_odd_tree(machine.home / "work")
    report = machine.pull(tmp_path / "to")
    skipped = {item.name for item in report.skipped}  # type: ignore[attr-defined]
    source_tree, local_tree = read_tree(source), read_tree(tmp_path / "to" / "work")
    assert local_tree == {name: entry for name, entry in source_tree.items() if name in local_tree}
    assert not [
        name
        for name in set(source_tree) - set(local_tree)
        if name.isprintable() and name not in ("up", "broken")
    ]
    assert {"work/up", "work/broken"} <= skipped
    assert local_tree["way"] == source_tree["way"]
    assert local_tree["part1/around"] == source_tree["part1/around"]
    assert (tmp_path / "to" / "work" / "sparse").stat().st_blocks < 10_000


def test_file_that_changes_once_is_downloaded_as_changed(tmp_path: Path, shell: str) -> None:
    machine = MinimalMachine(tmp_path, shell)
    out, home = make_tree(machine.home / "work", files=6), tmp_path / "to"

    def change() -> None:
        """Change the files: larger, same size, truncated, deleted, another mode, too large for an archive."""
        with (out / "large.bin").open("ab") as file:
            file.write(b"more")
        for name in ("part0/file000.txt", "part1/file001.txt"):
            (out / name).write_bytes(os.urandom((out / name).stat().st_size))
        (out / "part1" / "file001.txt").chmod(0o755)
        (out / "part2" / "file002.txt").write_bytes(b"")
        (out / "part3" / "file003.txt").write_bytes(os.urandom(1_200_000))
        (out / "part4" / "file004.txt").unlink()

    puller = PosixPuller(
        (request := PullRequest(sources=("work",), target=home)),
        open_target(request),
        CallOnceProgress(change),
        machine.open_shell,
    )
    with pytest.raises(TransferError, match="changed or vanished") as caught:
        puller.run()
    assert caught.value.message.startswith("work/part4/file004.txt: ")
    assert read_tree(home / "work") == read_tree(out)
    assert not (home / ".gpurent-part").exists()


def test_file_that_became_huge_is_fetched_on_its_own(tmp_path: Path) -> None:
    machine = MinimalMachine(tmp_path, SHELLS[0])
    out = make_tree(machine.home / "work", files=3, large=0)

    def change() -> None:
        with (out / "part1" / "file001.txt").open("wb") as file:
            file.truncate(20_000_000)

    PosixPuller(
        (request := PullRequest(sources=("work",), target=tmp_path / "to")),
        open_target(request),
        CallOnceProgress(change),
        machine.open_shell,
    ).run()
    assert read_tree(tmp_path / "to" / "work") == read_tree(out)


def test_file_changed_with_old_time_is_detected_by_content(tmp_path: Path) -> None:
    """The size is the same and the old mtime was restored: only the content differs."""
    machine = MinimalMachine(tmp_path, SHELLS[0])
    out = make_tree(machine.home / "work", files=3)
    stamp = (out / "large.bin").stat().st_mtime_ns

    class SilentChange(CountingProgress):
        struck = False

        def advance(self, size: int, name: str = "") -> None:
            if "large" in name and not self.struck:
                self.struck = True
                (out / "large.bin").write_bytes(bytes((out / "large.bin").stat().st_size))
                os.utime(out / "large.bin", ns=(stamp, stamp))

    PosixPuller(
        (request := PullRequest(sources=("work",), target=tmp_path / "to")),
        open_target(request),
        SilentChange(),
        machine.open_shell,
    ).run()
    assert read_tree(tmp_path / "to" / "work") == read_tree(out)
