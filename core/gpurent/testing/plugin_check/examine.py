"""Examines one plugin by all rules."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import date, datetime

from gpurent.child_processes import USER_VARIABLES, make_child_environment, make_python_command, run_program
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.registry.required_api import DECLARATION, find_api_problem, read_declaration
from gpurent.locale import _
from gpurent.testing.plugin_check.contract_runs import judge_contracts, run_contracts
from gpurent.testing.plugin_check.installed import InstalledPlugin, find_plugin
from gpurent.testing.plugin_check.language_rules import find_bare_texts, find_language_faults
from gpurent.testing.plugin_check.report import PluginReport, RuleFinding, judge, skip
from gpurent.testing.plugin_check.requirement_rules import check_requirements
from gpurent.testing.plugin_check.role_rules import check_builds, check_references, check_routes
from gpurent.testing.plugin_check.source_rules import (
    find_declaration_fault,
    find_forbidden_imports,
    find_own_services,
    find_untyped,
)

MAX_START = 0.1
"""Seconds of CPU time for the entries of one plugin; most need a hundredth of that."""
PROBE_LIMIT = 120.0
_PROBE = "gpurent.testing.plugin_check.import_probe"
_COST = re.compile(r"^#+ .*(\bcosts?\b|费用|花费)", re.IGNORECASE | re.MULTILINE)
_LIMITS = re.compile(r"^#+ .*(\bcannot\b|\blimits?\b|不能|限制)", re.IGNORECASE | re.MULTILINE)


def examine_plugin(
    name: str,
    every: EntryPointRegistry,
    *,
    quick: bool = False,
    tell: Callable[[str], None] = lambda _text: None,
) -> PluginReport:
    """Examine the plugin ``name`` of ``every`` installed one; raises `PluginError` if there is none.

    ``quick``: without its contracts, which take most of the time. ``tell`` hears which of them is run.
    """
    plugin = find_plugin(name, every)
    report = PluginReport(
        plugin=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        entries=plugin.entries,
        exempt=plugin.exempt,
    )
    report.add(judge("loads", [problem.what for problem in plugin.registry.problems]))
    report.add(check_requirements(plugin.requires))
    probe = _probe_start(plugin)
    report.add(_judge_api(plugin, probe.get("warnings", [])))
    report.add(_judge_start(probe))
    report.add(judge("imports", find_forbidden_imports(plugin.sources, plugin.package)))
    report.add(judge("context-only", find_own_services(plugin.product_sources)))
    report.add(_judge_types(plugin))
    report.add(_judge_readme(plugin))
    report.add(_judge_live(plugin))
    if plugin.entries:
        _examine_entries(plugin, every, report)
        if quick:
            for rule in ("contracts", "faults"):
                report.add(skip(rule, _("left out, since a quick check was asked for")))
        else:
            report.contracts = list(run_contracts(plugin, tell))
            for finding in judge_contracts(report.contracts):
                report.add(finding)
    return report


def _examine_entries(plugin: InstalledPlugin, every: EntryPointRegistry, report: PluginReport) -> None:
    registry, names = plugin.registry, plugin.entries
    report.add(check_references(registry, every, names))
    report.add(check_builds(registry, names))
    report.add(_judge_languages(plugin))
    findings, report.evidence, report.observed = check_routes(registry, names)
    for finding in findings:
        report.add(finding)
    report.add(_judge_simulator(plugin))


def _probe_start(plugin: InstalledPlugin) -> dict[str, object]:
    command = make_python_command("-m", _PROBE, plugin.module)
    try:
        done = run_program(command, environment=make_child_environment(USER_VARIABLES), timeout=PROBE_LIMIT)
    except TimeoutError as error:
        return {"error": f"{error}"}
    try:
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return {"error": " ".join(done.stderr.split())[-300:]}
    return found


def _judge_start(probe: dict[str, object]) -> RuleFinding:
    if probe.get("error"):
        return skip("start", f"{probe['error']}")
    seconds, heavy = probe["seconds"], probe["heavy"]
    assert isinstance(seconds, float)
    assert isinstance(heavy, list)
    text = _("{milliseconds} ms").format(milliseconds=f"{seconds * 1000:.1f}")
    faults = [_("{module} is imported with the entries").format(module=module) for module in heavy]
    if seconds > MAX_START:
        faults.append(_("it takes {time}; import what is heavy in build").format(time=text))
    return judge("start", faults, [text])


def _judge_api(plugin: InstalledPlugin, warned: object) -> RuleFinding:
    faults: list[str] = []
    notes = []
    for point in plugin.points:
        required = read_declaration(point)
        source = next((text for path, text in plugin.sources.items() if _is_module(path, point.module)), "")
        faults += filter(
            None, [find_declaration_fault(source), find_api_problem(required, plugin.distribution)]
        )
        notes.append(f"{DECLARATION} = {required}")
    faults += [f"{text}" for text in warned] if isinstance(warned, list) else []
    return judge("api", faults, notes)


def _is_module(path: str, module: str) -> bool:
    """Return whether a source, by its path below the package, is that module."""
    inside = module.partition(".")[2].replace(".", "/")
    return path in (f"{inside}.py", f"{inside}/__init__.py".lstrip("/"), f"{module}.py")


def _judge_types(plugin: InstalledPlugin) -> RuleFinding:
    faults = find_untyped(plugin.sources)
    if plugin.root is not None and not (plugin.root / "py.typed").is_file():
        faults.insert(0, _("there is no file {name}").format(name="py.typed"))
    return judge("types", faults)


def _judge_readme(plugin: InstalledPlugin) -> RuleFinding:
    faults = []
    if not _COST.search(plugin.readme):
        faults.append(_("no heading says what it costs"))
    if not _LIMITS.search(plugin.readme):
        faults.append(_("no heading says what it cannot do"))
    return judge("readme", faults)


def _judge_languages(plugin: InstalledPlugin) -> RuleFinding:
    faults = find_language_faults(plugin.root, plugin.package, plugin.sources)
    return judge("languages", [*faults, *find_bare_texts(plugin.sources)])


def _judge_simulator(plugin: InstalledPlugin) -> RuleFinding:
    """A provider, an account or a rate source talks to a service; the sandbox needs one to talk to."""
    simulated = {name for kind, name in plugin.entries if kind == "simulator"}
    services = sorted({name for kind, name in plugin.entries if kind in ("lease", "billing", "rate")})
    if not services or simulated:
        return judge("simulator", [])
    return judge("simulator", [_("no simulator of {name}").format(name=name) for name in services])


def _judge_live(plugin: InstalledPlugin) -> RuleFinding:
    found = plugin.quality.get("live", {})
    day = found.get("date") if isinstance(found, dict) else None
    if isinstance(day, datetime | date):
        return judge("live", [], [f"{day}"])
    return judge(
        "live", [_("only with the real thing, and dated by its author; a check here cannot do that")]
    )
