"""A broken plugin is listed with its problem and does not stop anything else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpurent.errors import PluginError
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.roles.entries import LeaseEntry, SessionEntry

GOOD_SOURCE = """
from gpurent.api import SessionEntry, hookimpl

@hookimpl
def gpurent_register_session():
    return [SessionEntry(name={name!r}, summary="good", build=lambda host: None)]
"""
BROKEN_SOURCES = {
    "raises-at-import": ("raise RuntimeError('no luck')", "no luck"),
    "exits-at-import": ("import sys; sys.exit(3)", "cannot be imported: SystemExit"),
    "misses-a-module": ("import no_such_module_at_all", "no_such_module_at_all"),
    "raises-in-a-hook": (
        "from gpurent.api import hookimpl\n@hookimpl\ndef gpurent_register_lease():\n    raise ValueError('inside')",
        "inside",
    ),
    "async-hook": (
        "from gpurent.api import hookimpl\n@hookimpl\nasync def gpurent_register_lease():\n    return []",
        "async def",
    ),
    "unknown-hook": (
        "from gpurent.api import hookimpl\n@hookimpl\ndef gpurent_register_nonsense():\n    return []",
        "gpurent_register_nonsense",
    ),
    "wrong-return": (
        "from gpurent.api import hookimpl\n@hookimpl\ndef gpurent_register_lease():\n    return 5",
        "list of entries",
    ),
    "wrong-entry": (
        "from gpurent.api import hookimpl\n@hookimpl\ndef gpurent_register_lease():\n    return ['mine']",
        "must return LeaseEntry",
    ),
    "wrong-arguments": (
        "from gpurent.api import hookimpl\n@hookimpl\ndef gpurent_register_lease(extra):\n    return []",
        "does not match the hook specifications",
    ),
    "wrong-name": (
        """from gpurent.api import SessionEntry, hookimpl
@hookimpl
def gpurent_register_session():
    return [SessionEntry(name='Not A Name', summary='', build=None)]
""",
        "gpurent_register_session failed",
    ),
}


def install_distribution(site_packages: Path, distribution: str, source: str) -> None:
    """Install a distribution as pip does: a module and its dist-info with an entry point."""
    module = distribution.replace("-", "_")
    (site_packages / f"{module}.py").write_text(source)
    info = site_packages / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[gpurent]\n{distribution} = {module}\n")


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def list_problems(registry: EntryPointRegistry, distribution: str) -> list[str]:
    return [problem.what for problem in registry.problems if problem.distribution == distribution]


@pytest.mark.parametrize("kind", BROKEN_SOURCES)
def test_broken_plugins_are_named_and_stop_nothing(site_packages: Path, kind: str) -> None:
    source, message = BROKEN_SOURCES[kind]
    install_distribution(site_packages, f"bad-{kind}", source)
    install_distribution(
        site_packages, f"good-{kind}", GOOD_SOURCE.format(name=f"good-{kind}"[:30].strip("-"))
    )
    registry = EntryPointRegistry.load()
    (problem,) = list_problems(registry, f"bad-{kind}")
    assert message in problem
    assert f"good-{kind}"[:30].strip("-") in registry.get_entries(SessionEntry)
    assert "screen" in registry.get_entries(SessionEntry)


def test_duplicate_names_are_both_reported_and_neither_is_used(site_packages: Path) -> None:
    for distribution in ("one-claim", "two-claim"):
        install_distribution(site_packages, distribution, GOOD_SOURCE.format(name="contested"))
    registry = EntryPointRegistry.load()
    (problem,) = [found for found in registry.problems if "contested" in found.what]
    assert "one-claim" in problem.what
    assert "two-claim" in problem.what
    assert "contested" not in registry.get_entries(SessionEntry)
    with pytest.raises(PluginError, match=r"one-claim and two-claim|two-claim and one-claim"):
        registry.get_entry(SessionEntry, "contested")


def test_a_module_that_two_distributions_name_alike_counts_once(site_packages: Path) -> None:
    install_distribution(site_packages, "module-owner", GOOD_SOURCE.format(name="shared"))
    install_distribution(site_packages, "module-borrower", GOOD_SOURCE.format(name="own"))
    for distribution in ("module_owner", "module_borrower"):
        points = site_packages / f"{distribution}-1.0.dist-info" / "entry_points.txt"
        points.write_text("[gpurent]\nalike = module_owner\nother = module_owner\n")
    registry = EntryPointRegistry.load()
    assert "shared" in registry.get_entries(SessionEntry)
    (bearer,) = [plugin for plugin in registry.plugins if ("session", "shared") in plugin.entries]
    assert bearer.distribution in ("module-owner", "module-borrower")
    broken = [found.what for found in registry.problems if found.distribution.startswith("module-")]
    assert len(broken) == 3
    assert all("already registered" in line for line in broken)


def test_the_other_hooks_of_a_plugin_with_an_unknown_hook_count(site_packages: Path) -> None:
    source = GOOD_SOURCE.format(name="half") + "\n@hookimpl\ndef gpurent_register_future():\n    return []\n"
    install_distribution(site_packages, "half-plugin", source)
    registry = EntryPointRegistry.load()
    assert "half" in registry.get_entries(SessionEntry)
    assert "gpurent_register_future" in list_problems(registry, "half-plugin")[0]


def test_a_missing_name_invents_no_package_and_says_what_is_near() -> None:
    registry = EntryPointRegistry.load()
    with pytest.raises(PluginError) as caught:
        registry.get_entry(LeaseEntry, "vastai")
    assert "gpurent plugin list" in caught.value.hint
    assert "gpurent-plugin" not in caught.value.hint
    with pytest.raises(PluginError) as caught:
        registry.get_entry(SessionEntry, "scren")
    assert "screen" in caught.value.hint


def test_a_missing_name_finds_its_broken_plugin(site_packages: Path) -> None:
    install_distribution(site_packages, "gpurent-plugin-acmegpu24", "raise RuntimeError('no luck')")
    registry = EntryPointRegistry.load()
    with pytest.raises(PluginError) as caught:
        registry.get_entry(LeaseEntry, "24-acme-gpu")
    assert "gpurent-plugin-acmegpu24 is installed but broken" in caught.value.hint


def test_the_command_line_lists_the_broken_and_goes_on(site_packages: Path) -> None:
    install_distribution(site_packages, "bad-cli", "raise RuntimeError('no luck')")
    environment = {**os.environ, "PYTHONPATH": str(site_packages), "LANG": "C.UTF-8"}
    done = subprocess.run(
        [sys.executable, "-m", "gpurent.cli.main", "plugin", "list"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    (line,) = [text for text in done.stdout.splitlines() if "bad-cli" in text]
    assert "broken" in line
    assert "no luck" in done.stdout, "the table is as wide as the terminal"
    assert "gpurent-plugin-screen" in done.stdout
