"""Former names in `config.toml` are renamed once, whole or not at all, and nothing else of the file is touched."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from gpurent.composition.config_sections import declared_sections
from gpurent.errors import UsageError
from gpurent.infra.config import config_migration
from gpurent.infra.config.config_file import read_config
from gpurent.infra.config.config_migration import migrate_config
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import BillingEntry
from gpurent.workflow.runtime.settings import Settings, reject_former_names

DECLARED = declared_sections(EntryPointRegistry.load())
OLD = """\
# mine
[1024gpu]
mode = "hands"               # "hands": I press the buttons
site = 'https://www.1024gpu.top'
platform = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"

[mistgpu]
mode = "portal"
assumed = "yes"
[dbc]
most = "1000"
[dbc-chain]
spend   =   "yes"            # odd spacing stays
ceiling = "500DBC"
"node" = "http://127.0.0.1:5002"
[turbo]
lines = 4
kex = "curve25519-sha256"
[notify]
limit = 7
events = [
    "line-lost",             # the line was lost
    "line-back", "saved",
    "by-hand", "failed",
]
[rates]
"USD/CNY" = 7.10
at = 2026-11-24
limit_days = 30
[guard]
look = "3m"
idle = "2h"
[guard.mistgpu]
look = "2m"                  # look often
"""
NEW = """\
# mine
[1024gpu]
mode = "manual"               # "hands": I press the buttons
web_url = 'https://www.1024gpu.top'
binding_address = "AKMqDy51FuMnc4poiGBczQvPh6819hQuLH"

[mistgpu]
mode = "api"
allow_assumed = "yes"
[dbc]
max_payment = "1000"
[dbc-chain]
allow_spending   =   "yes"            # odd spacing stays
max_total_spending = "500DBC"
"client_url" = "http://127.0.0.1:5002"
[turbo]
max_connections = 4
kex_algorithms = "curve25519-sha256"
[notify]
timeout = 7
events = [
    "connection-lost",             # the line was lost
    "connection-restored", "results-saved",
    "manual-task", "failed",
]
[rates]
"USD/CNY" = 7.10
date = 2026-11-24
max_age_days = 30
[guard]
check_interval = "3m"
idle = "2h"
[guard.mistgpu]
check_interval = "2m"                  # look often
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "config.toml"
    made.write_text(OLD)
    made.chmod(0o644)
    return made


def get_names(kind: str) -> Sequence[str]:
    return ["mistgpu", "1024gpu"] if kind == "provider" else []


def list_files(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.iterdir())


def test_every_former_name_is_renamed_in_place(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert migrate_config(path, DECLARED)
    assert path.read_text() == NEW
    backup = path.with_name("config.toml.bak-0.1")
    assert backup.read_text() == OLD
    assert (backup.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o600, 0o644)
    assert str(backup) in caplog.text
    assert read_config(path, lambda: DECLARED, get_names)["guard.mistgpu"] == {"check_interval": "2m"}


def test_the_old_file_has_every_key_that_was_renamed() -> None:
    renames = config_migration.find_renames(tomllib.loads(OLD), DECLARED)
    found = {(rename.section, rename.key.name) for rename in renames}
    assert found >= {
        (section.name, key.name)
        for section in DECLARED
        for key in section.keys
        if key.former_name or key.new_values_by_former
    }


def test_a_second_start_does_nothing(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    migrate_config(path, DECLARED)
    before = path.stat()
    caplog.clear()
    assert not migrate_config(path, DECLARED)
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert path.stat().st_ino == before.st_ino
    assert not caplog.records
    assert list_files(path) == ["config.toml", "config.toml.bak-0.1"]


def test_no_file_and_nothing_to_rename(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert not migrate_config(path, DECLARED)
    path.write_text('[guard]\nidle = "2h"\nlook_out = 1\n')
    assert not migrate_config(path, DECLARED)
    assert list_files(path) == ["config.toml"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('guard.look = "3m"\n', 'guard.check_interval = "3m"\n'),
        ('guard = { idle = "2h", look = "3m" }\n', 'guard = { idle = "2h", check_interval = "3m" }\n'),
        ('[notify]\nevents = "saved, by-hand"\n', '[notify]\nevents = "results-saved, manual-task"\n'),
        ('\ufeff[guard]\r\nlook = "3m"\r\n', '\ufeff[guard]\r\ncheck_interval = "3m"\r\n'),
        ('[guard]\n# look = "1m"\nlook = "3m"', '[guard]\n# look = "1m"\ncheck_interval = "3m"'),
    ],
)
def test_other_ways_to_write_it(path: Path, old: str, new: str) -> None:
    path.write_bytes(old.encode())
    assert migrate_config(path, DECLARED)
    assert path.read_bytes() == new.encode()


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[guard]\nlook = "3m"\ncheck_interval = "2m"\n', 2),
        ('[dbc]\n[guard]\n"lo\\u006fk" = "3m"\n', 0),
    ],
)
def test_what_cannot_be_changed_safely_is_left_and_named(path: Path, text: str, line: int) -> None:
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        migrate_config(path, DECLARED)
    location = f"{path}, line {line}: " if line else f"{path}: "
    assert caught.value.message.startswith(location)
    assert "[guard] look → check_interval" in caught.value.hint
    assert path.read_text() == text
    assert list_files(path) == ["config.toml"]


def test_a_read_only_file_is_left_and_its_new_names_said(path: Path) -> None:
    path.chmod(0o444)
    with pytest.raises(UsageError, match="the file is read-only") as caught:
        migrate_config(path, DECLARED)
    assert "[dbc] most → max_payment" in caught.value.hint
    assert '[mistgpu] mode → "hands" → "manual"' in caught.value.hint
    assert path.read_text() == OLD
    assert list_files(path) == ["config.toml"]


def test_a_folder_that_cannot_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(config_migration, "write_new_private_file", refuse)
    with pytest.raises(UsageError, match="Read-only file system"):
        migrate_config(path, DECLARED)
    assert path.read_text() == OLD


def test_a_link_stays_a_link(path: Path) -> None:
    real = path.rename(path.with_name("dotfile"))
    path.symlink_to(real)
    assert migrate_config(path, DECLARED)
    assert path.is_symlink()
    assert real.read_text() == NEW


def test_an_earlier_backup_is_never_overwritten(path: Path) -> None:
    migrate_config(path, DECLARED)
    path.write_text('[guard]\nlook = "9m"\n')
    migrate_config(path, DECLARED)
    assert path.with_name("config.toml.bak-0.1").read_text() == OLD
    assert path.with_name("config.toml.bak-0.1.2").read_text() == '[guard]\nlook = "9m"\n'


def test_an_unknown_key_is_refused_with_the_nearest_name(path: Path) -> None:
    path.write_text('[guard]\nlook = "3m"\ncheck_intervall = "3m"\n')
    migrate_config(path, DECLARED)
    with pytest.raises(UsageError, match="unknown key 'check_intervall'") as caught:
        read_config(path, lambda: DECLARED, get_names)
    assert caught.value.hint == "Did you mean check_interval?"


def _migrate_and_exit(path: Path, barrier: object) -> None:
    logging.disable()
    barrier.wait()  # type: ignore[attr-defined]
    migrate_config(path, DECLARED)


def test_processes_that_start_at_once(path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(4)
    processes = [fork.Process(target=_migrate_and_exit, args=(path, barrier)) for _number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert path.read_text() == NEW
    assert list_files(path) == ["config.toml", "config.toml.bak-0.1"]


@pytest.mark.parametrize("call", ["open", "link", "fsync", "replace", "chmod"])
def test_killed_on_the_way_it_is_old_or_new(path: Path, call: str) -> None:
    child = os.fork()
    if not child:
        owner = Path if call in ("replace", "chmod") else os
        try:
            setattr(owner, call, lambda *_given, **_named: os.kill(os.getpid(), signal.SIGKILL))
            migrate_config(path, DECLARED)
        finally:
            os._exit(1)
    _pid, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert path.read_text() in (OLD, NEW)
    assert migrate_config(path, DECLARED)
    assert path.read_text() == NEW
    assert path.with_name("config.toml.bak-0.1").read_text() == OLD


# the environment


def check_variables(environment: Mapping[str, str], name: str) -> None:
    (section,) = (section for section in DECLARED if section.name == name)
    for key in section.keys:
        reject_former_names(environment, name, key)


@pytest.mark.parametrize(
    ("variable", "value", "section", "words"),
    [
        ("GPURENT_DBC_MOST", "5", "dbc", "GPURENT_DBC_MAX_PAYMENT"),
        ("GPURENT_GUARD_LOOK", "5m", "guard", "GPURENT_GUARD_CHECK_INTERVAL"),
        ("GPURENT_NOTIFY_EVENTS", "failed line-lost", "notify", "line-lost → connection-lost"),
        ("GPURENT_MISTGPU_MODE", "hands", "mistgpu", "hands → manual"),
    ],
)
def test_a_variable_of_a_former_name_is_refused(variable: str, value: str, section: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(variable)) as caught:
        check_variables({variable: value}, section)
    assert words in caught.value.hint


def test_a_plugin_is_not_built_with_a_variable_that_would_be_ignored(tmp_path: Path) -> None:
    entry = EntryPointRegistry.load().get_entry(BillingEntry, "dbc")
    settings = Settings(tmp_path, {"GPURENT_DBC_MOST": "5"}, {})
    with pytest.raises(UsageError, match="GPURENT_DBC_MOST was renamed"):
        settings.get_plugin_settings("dbc", entry.settings)
