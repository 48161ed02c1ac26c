"""`gpurent plugin new`: every kind installs, passes its own tests and the checkers; nothing is ever overwritten."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gpurent.infra.plugin_templates import PluginNames, list_kinds, render_plugin
from gpurent.testing.plugin_check.contract_classes import find_contract
from gpurent.testing.shared_sandbox import CommandLineResult
from tests.command_line import run_command
from tests.packaging.new_plugin import make_plugin, run_readme

ROOT = Path(__file__).parents[2]
BY_DAY = "launcher"
# Silver needs a contract that loses answers; a wallet alone has none.
FAULTS_NEEDED = {"notifier": "notifier", "provider": "lease", "rates": "rate", "wallet": "command"}


def begin(folder: Path, *arguments: str) -> CommandLineResult:
    return run_command("plugin", "new", *arguments, environment={"HOME": str(folder)}, folder=folder)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.nightly] * (kind != BY_DAY)) for kind in list_kinds()]
)
def test_a_new_plugin_installs_and_passes_its_tests(kind: str, tmp_path: Path) -> None:
    plugin = make_plugin(kind, "acme-24", tmp_path)
    tested = plugin.run("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in tested.stdout
    assert "failed" not in tested.stdout
    report = plugin.check()
    assert report["ok"], report
    needed = FAULTS_NEEDED.get(kind)
    assert report["level"] == ("silver" if needed is None or find_contract(needed) else "bronze"), report


@pytest.mark.nightly
@pytest.mark.parametrize("kind", list_kinds())
def test_a_new_plugin_is_typed_and_tidy(kind: str, tmp_path: Path) -> None:
    plugin = make_plugin(kind, "acme", tmp_path)
    plugin.run("-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "new_plugins"))
    plugin.run("-m", "ruff", "check", "--no-cache", ".")
    plugin.run("-m", "ruff", "format", "--no-cache", "--check", ".")


@pytest.mark.nightly
def test_the_trip_of_its_readme_works_as_typed(tmp_path: Path) -> None:
    plugin = make_plugin("provider", "acme", tmp_path)
    printed = run_readme(plugin, "What to change first", tmp_path)
    assert "The ledger matches the providers' statements." in printed
    assert re.search(r"minute +-\d\.\d\d USD  m-", printed), printed


@pytest.mark.parametrize("kind", list_kinds())
def test_every_placeholder_of_a_template_is_filled_in(kind: str) -> None:
    made = render_plugin(kind, PluginNames.parse("1024-acme"))
    assert "src/gpurent_plugin_acme1024/plugin.py" in made
    for path, content in made.items():
        assert "@" not in path
        if path.endswith((".py", ".toml", ".md")):
            for word in (
                "@name@",
                "@module@",
                "@package@",
                "@distribution@",
                "@Class@",
                "@api@",
                "@gpurent@",
            ):
                assert word.encode() not in content, (path, word)
        if path.endswith(".py"):
            compile(content, path, "exec")
    assert {"README.md", "pyproject.toml", "src/gpurent_plugin_acme1024/py.typed"} <= set(made)
    readme = made["README.md"].decode()
    assert "## What it costs" in readme
    assert "## What it cannot do" in readme


@pytest.mark.parametrize(
    ("name", "module", "prefix"),
    [
        ("acme", "acme", "Acme"),
        ("acme-gpu", "acmegpu", "AcmeGpu"),
        ("24acme", "acme24", "Acme24"),
        ("24-acme", "acme24", "Acme24"),
        ("a2-b", "a2b", "A2B"),
    ],
)
def test_names(name: str, module: str, prefix: str) -> None:
    names = PluginNames.parse(name)
    assert (names.module, names.class_prefix) == (module, prefix)
    assert names.package.isidentifier()


@pytest.mark.parametrize(
    "name", ["", "-acme", "Acme", "acme_gpu", "acme gpu", "../acme", "a" * 32, "模型", "acme/x", "acme.x"]
)
def test_what_is_no_name_is_refused(name: str, tmp_path: Path) -> None:
    result = begin(tmp_path, "--kind", BY_DAY, "--", name)
    assert result.code == 2
    assert "cannot be the name of a plugin" in result.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["vast", "m-i-s-t-gpu"])
def test_a_name_of_a_known_plugin_is_refused(name: str, tmp_path: Path) -> None:
    result = begin(tmp_path, "--kind", BY_DAY, name)
    assert result.code == 2
    assert "there is already a plugin gpurent-plugin-" in result.err
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_an_entry_is_refused(tmp_path: Path) -> None:
    result = begin(tmp_path, "--kind", "session", "plain-x")
    assert result.code == 0, result.err
    result = begin(tmp_path, "--kind", "exporter", "filezilla")
    assert result.code == 2
    assert "exporter filezilla already exists" in result.err


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    kept = tmp_path / "gpurent-plugin-acme"
    kept.mkdir()
    (kept / "mine").write_text("precious")
    result = begin(tmp_path, "--kind", BY_DAY, "acme")
    assert result.code == 2
    assert "already exists" in result.err
    assert [path.name for path in kept.iterdir()] == ["mine"]
    (tmp_path / "file").write_text("")
    result = begin(tmp_path, "--kind", BY_DAY, "acme", "--into", "file/x")
    assert result.code == 2
    assert "cannot be written" in result.err


def test_the_answer_in_both_languages_and_as_json(tmp_path: Path) -> None:
    for language, word in (("en", "files in"), ("zh", "个文件")):
        environment = {"HOME": str(tmp_path), "GPURENT_LANG": language}
        result = run_command(
            "plugin", "new", "--kind", BY_DAY, f"acme-{language}", environment=environment, folder=tmp_path
        )
        assert result.code == 0, result.err
        assert word in result.out
        assert f"gpurent plugin check acme-{language}" in result.out
    result = begin(tmp_path, "--kind", BY_DAY, "acme", "--json")
    data = json.loads(result.out)["data"]
    assert set(data) == {"name", "kind", "distribution", "package", "folder", "files", "commands"}
    assert all((Path(data["folder"]) / name).is_file() for name in data["files"])
