"""`gpurent plugin check`: whatever is wrong with a plugin is named, with its place; what is right is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gpurent.testing.plugin_check.contract_classes import find_contract
from gpurent.testing.plugin_check.report import RULES, Level, PluginReport, Status, judge
from gpurent.testing.plugin_check.source_rules import (
    find_declaration_fault,
    find_forbidden_imports,
    find_own_services,
    find_untyped,
)
from tests.cli.language_probe import find_english_lines
from tests.command_line import run_command
from tests.packaging.new_plugin import NewPlugin, install_sources, make_environment, make_plugin

ROOT = Path(__file__).parents[2]
FAULTY = """\
import sqlite3
import asyncio

from gpurent.api import LeaseEntry, MachineProfile, SessionEntry, InputField, SimulatorEntry, hookimpl
from gpurent.domain.money import Money
from gpurent_plugin_faulty import _

REQUIRED_API = tuple([1, 0])


def _build_nothing(context):
    return object()


@hookimpl
def gpurent_register_session():
    return [SessionEntry(name="faulty", summary="keeps a job alive", build=_build_nothing)]


@hookimpl
def gpurent_register_lease():
    declared = InputField(name="url", label=_("never translated"), default="x", check=int)
    return [
        LeaseEntry(
            name="faulty",
            summary=_("租用机器"),
            build=lambda context: 1 / 0,
            auth="nowhere",
            settings=(declared,),
            profile=MachineProfile(user="root"),
            overview={"colour": "red"},
            web_hosts=("https://x/y",),
        )
    ]


@hookimpl
def gpurent_register_simulator():
    from gpurent_plugin_faulty.simulator import Fake

    return [SimulatorEntry(name="faulty", summary="", build=Fake)]
"""
SIMULATOR = """\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from gpurent.api import Evidence, ProviderSimulator, SimulatorRoute


async def answer(request):
    return PlainTextResponse("x")


class Fake(ProviderSimulator):
    def __init__(self, context):
        pass

    def get_app(self):
        return Starlette(routes=[Route("/a", answer), Route("/b", answer)])

    async def tick(self):
        pass

    def list_ledger_entries(self):
        return ()

    def list_routes(self):
        return [
            SimulatorRoute(method="GET", path="/a", evidence=Evidence.ASSUMED),
            SimulatorRoute(method="GET", path="/c", evidence=Evidence.DOCUMENTED),
        ]

    def make_plugin_settings(self, url):
        return {}

    def list_billed_machines(self):
        return ()
"""
PACKAGE = "from gpurent.api import make_translator\n\n_ = make_translator(__name__)\n"
WRONG = {
    "requirements": ["it requires gpurent>=0.5", "no-such-package>=1 is not installed"],
    "api": ["must be written in numbers"],
    "start": ["asyncio is imported", "sqlite3 is imported"],
    "imports": ["plugin.py:1: sqlite3", "plugin.py:5: gpurent.domain"],
    "references": [
        "login nowhere, which is not installed",
        "no column colour",
        "https://x/y is not a host",
        "the default of url is refused",
    ],
    "builds": ["builds object instead of SessionBackend", "ZeroDivisionError"],
    "languages": ["'租用机器' is not English", "'keeps a job alive' is not marked", "no catalogue"],
    "routes": ["GET /b: no evidence", "GET /c: not served"],
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("check") / "venv")


def get_rules(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {rule["rule"]: rule for rule in report["rules"]}


def test_everything_that_is_wrong_is_named(environment: Path, tmp_path: Path) -> None:
    plugin = NewPlugin("faulty", tmp_path, environment)
    sources = {"__init__.py": PACKAGE, "plugin.py": FAULTY, "simulator.py": SIMULATOR}
    install_sources(plugin, sources, ["gpurent>=0.5", "no-such-package>=1"])
    report = plugin.check("--quick")
    assert not report["ok"]
    assert report["level"] is None
    rules = get_rules(report)
    assert {name for name, rule in rules.items() if rule["status"] == "failed"} == set(WRONG)
    for name, lines in WRONG.items():
        for line in lines:
            assert line in "\n".join(rules[name]["details"]), (name, rules[name]["details"])
    for name in ("types", "readme", "evidence", "live"):
        assert rules[name]["status"] == "open", name
    assert report["evidence"] == {"observed": 0, "source": 0, "documented": 1, "assumed": 1}
    text = plugin.run("-m", "gpurent", "plugin", "check", "faulty", "--quick", check=False)
    assert text.returncode == 1
    assert "Something is wrong" in text.stdout
    assert "Gold needs a live run" in text.stdout
    chinese = plugin.run("-m", "gpurent", "--lang", "zh", "plugin", "check", "faulty", "--quick", check=False)
    assert "有问题" in chinese.stdout
    own = ("plugin.py", "simulator.py", "gpurent", "faulty", "no-such-package")
    left = [line for line in find_english_lines(chinese.stdout) if not any(word in line for word in own)]
    assert left == []


def test_a_plugin_that_does_not_load(environment: Path, tmp_path: Path) -> None:
    plugin = NewPlugin("unloaded", tmp_path, environment)
    source = "REQUIRED_API = (1, 99)\nfrom gpurent.api import NameOfLater\n"
    install_sources(plugin, {"__init__.py": "", "plugin.py": source}, ["gpurent>=0.1,<1"])
    report = plugin.check()
    rules = get_rules(report)
    assert "needs version 1.99 of gpurent.api" in rules["loads"]["details"][0]
    assert rules["api"]["status"] == "failed"
    assert rules["start"]["status"] == "skipped"
    assert report["level"] is None


@pytest.mark.nightly
def test_a_broken_contract_is_named_with_its_test(tmp_path: Path) -> None:
    plugin = make_plugin("exporter", "acme", tmp_path)
    exporter = plugin.site / "gpurent_plugin_acme" / "exporter.py"
    exporter.write_text(exporter.read_text("utf-8").replace("lease.endpoint.port", "22"), "utf-8")
    report = plugin.check()
    assert not report["ok"]
    (run,) = report["contracts"]
    assert (run["contract"], run["status"]) == ("ExporterContract", "failed")
    assert run["failed"] >= 1
    assert "test_what_is_read_back_is_what_was_written" in "\n".join(run["details"])
    assert get_rules(report)["contracts"]["status"] == "failed"


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()))
def test_nothing_is_wrong_with_the_plugins_here(name: str, tmp_path: Path) -> None:
    arguments = ("plugin", "check", name, "--quick", "--json")
    result = run_command(*arguments, environment={"HOME": str(tmp_path)}, folder=tmp_path)
    data = json.loads(result.out)["data"]
    assert data["ok"], [rule for rule in data["rules"] if rule["status"] == "failed"]


def test_an_unknown_name_is_an_error(environment: Path, tmp_path: Path) -> None:
    plugin = NewPlugin("nowhere", tmp_path, environment)
    done = plugin.run("-m", "gpurent", "plugin", "check", "nowhere", "--json", check=False)
    assert done.returncode == 3
    assert json.loads(done.stdout)["error"]["code"] == "plugin"


def test_what_safe_leaves_out_is_not_run(environment: Path, tmp_path: Path) -> None:
    plugin = NewPlugin("strange", tmp_path, environment)
    mark = tmp_path / "mark"
    source = f"open({str(mark)!r}, 'w').close()\nREQUIRED_API = (1, 0)\n"
    install_sources(plugin, {"__init__.py": "", "plugin.py": source}, ["gpurent>=0.1,<1"])
    done = plugin.run("-m", "gpurent", "--safe", "plugin", "check", "strange", check=False)
    assert done.returncode == 2
    assert "cannot be made with --safe" in done.stderr
    assert not mark.exists()


def test_former_names_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "gpurent_plugin_old").mkdir()
    (tmp_path / "gpurent_plugin_old" / "__init__.py").write_text("")
    (tmp_path / "gpurent_plugin_old" / "plugin.py").write_text("x = 1\n")
    (tmp_path / "gpurent_plugin_old" / "wallet.py").write_text("\nfrom gpurent.api import Purse\n")
    code = (
        "import json\n"
        "from gpurent import api\n"
        "api._NEW_BY_FORMER['Purse'] = ('Money', (9, 9))\n"
        "from gpurent.testing.plugin_check.import_probe import probe_module\n"
        "print(json.dumps(probe_module('gpurent_plugin_old.plugin')))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout)
    (warning,) = found["warnings"]
    assert "wallet.py:2: gpurent.api.Purse is called Money" in warning
    assert found["heavy"] == []


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("from gpurent import domain", "gpurent.domain"),
        ("import gpurent.testing.fakes", "gpurent.testing"),
        ("from gpurent_plugin_other import x", "plugins do not know each other"),
        ("def f():\n    import subprocess", "spawn_program"),
        ("import os\nos.system('true')", "os.system"),
        ("print(1)", "print"),
    ],
)
def test_forbidden_imports(source: str, fault: str) -> None:
    assert fault in "\n".join(find_forbidden_imports({"a.py": source}, "gpurent_plugin_acme"))


def test_allowed_imports() -> None:
    source = (
        "from gpurent.api import Money\nfrom gpurent import api\nimport gpurent_plugin_acme.wire\nimport json"
    )
    assert find_forbidden_imports({"a.py": source}, "gpurent_plugin_acme") == []


def test_own_clocks_and_clients_are_found() -> None:
    source = "import httpx2\nfrom urllib.request import urlopen\nimport time\nx = time.time()\n"
    assert len(find_own_services({"a.py": source})) == 3
    assert find_own_services({"a.py": "async def f(context):\n    return context.clock.now()"}) == []


def test_functions_without_types_are_found() -> None:
    source = "class A:\n    def f(self, x: int) -> int: ...\n    def g(self, x): ...\ndef h(*a: int): ...\n"
    assert [line.partition(" ")[0] for line in find_untyped({"a.py": source})] == ["a.py:4:", "a.py:3:"]


def test_the_declaration_of_the_api_is_in_numbers() -> None:
    assert find_declaration_fault("REQUIRED_API = (1, 0)") == ""
    assert "numbers" in find_declaration_fault("REQUIRED_API = API_VERSION")
    assert "REQUIRED_API" in find_declaration_fault("x = 1")


def make_report(**broken: Status) -> PluginReport:
    report = PluginReport(plugin="x", distribution="x", version="1", exempt={"readme": "why", "live": "why"})
    for rule in RULES:
        is_broken = broken.get(rule.name.replace("-", "_")) is not None
        report.add(judge(rule.name, ["fault"] if is_broken else []))
    return report


@pytest.mark.parametrize(
    ("broken", "ok", "level"),
    [
        ((), True, Level.GOLD),
        (("live",), True, Level.SILVER),
        (("readme",), True, Level.GOLD),
        (("context_only",), True, Level.BRONZE),
        (("simulator",), True, None),
        (("imports",), False, None),
    ],
)
def test_levels(broken: tuple[str, ...], ok: bool, level: Level | None) -> None:
    report = make_report(**dict.fromkeys(broken, Status.FAILED))
    assert (report.ok, report.level) == (ok, level)


def test_contracts_are_found_by_role() -> None:
    for kind, name in (
        ("session", "SessionContract"),
        ("transfer", "TransferContract"),
        ("exporter", "ExporterContract"),
    ):
        found = find_contract(kind)
        assert found is not None
        assert found.class_name == name
    assert find_contract("command") is None
