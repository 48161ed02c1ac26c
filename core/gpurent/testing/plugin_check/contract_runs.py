"""Runs the contracts of a plugin's roles, in a process of pytest: derived from its entries, or its own tests."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpurent.child_processes import USER_VARIABLES, make_child_environment, make_python_command, run_program
from gpurent.locale import _
from gpurent.testing.plugin_check.contract_classes import PURE_KINDS, ContractClass, find_contract
from gpurent.testing.plugin_check.derived_tests import derive_test
from gpurent.testing.plugin_check.installed import InstalledPlugin
from gpurent.testing.plugin_check.report import ContractRun, RuleFinding, Status, judge
from gpurent.testing.plugin_check.role_rules import iter_entries

TIME_LIMIT = 1800.0
"""Seconds for the tests of one contract."""
_SETTINGS = """\
[pytest]
addopts = --import-mode=importlib -p gpurent.testing.time_limit -p no:cacheprovider
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
time_limit = 120
markers =
    nightly: takes long
    bwrap: needs bubblewrap
    root: needs root
    slow: takes seconds
"""


def run_contracts(plugin: InstalledPlugin, report: Callable[[str], None]) -> Iterator[ContractRun]:
    """Yield a run for each entry. ``report`` is told which contract is run now."""
    judged: set[str] = set()
    entries = list(iter_entries(plugin.registry, plugin.entries))
    # A provider's contract judges its login, its account and its simulator, too.
    for kind, entry in sorted(entries, key=lambda item: item[0] != "lease"):
        contract = find_contract(kind)
        title = f"{kind} {entry.name}"
        if contract is None:
            yield ContractRun(kind=kind, entry=entry.name, status=Status.SKIPPED, details=(_("no contract"),))
        elif kind in ("auth", "billing", "simulator") and (
            run := _find_provider_run(kind, entry, entries, judged)
        ):
            yield run
        else:
            report(f"{contract.class_name}: {title}")
            found = _run_contract(plugin, kind, entry, contract)
            if kind == "lease" and found.status is not Status.SKIPPED:
                judged.add(entry.name)
            yield found


def _find_provider_run(
    kind: str, entry: Any, entries: Sequence[tuple[str, Any]], judged: set[str]
) -> ContractRun | None:
    """Return the run of a login, an account or a simulator: with its provider, or none."""
    for other, lease in entries:
        if (
            other == "lease"
            and lease.name in judged
            and entry.name in (lease.auth, lease.billing, lease.name)
        ):
            note = _("judged with the provider {name}").format(name=lease.name)
            return ContractRun(kind=kind, entry=entry.name, status=Status.PASSED, details=(note,))
    if kind == "simulator" and any(other == "rate" and rate.name == entry.name for other, rate in entries):
        note = _("judged with the rate source {name}").format(name=entry.name)
        return ContractRun(kind=kind, entry=entry.name, status=Status.PASSED, details=(note,))
    note = _("no contract: it is judged with a provider that uses it")
    return ContractRun(kind=kind, entry=entry.name, status=Status.SKIPPED, details=(note,))


def _run_contract(plugin: InstalledPlugin, kind: str, entry: Any, contract: ContractClass) -> ContractRun:
    with tempfile.TemporaryDirectory(prefix="gpurent-check-") as name:
        folder = Path(name)
        try:
            source = derive_test(kind, entry, contract)
        except Exception as error:  # noqa: BLE001 - "builds" says more
            source = f"raise RuntimeError({f'{type(error).__name__}: {error}'!r})\n"
        target = folder / "test_derived.py"
        if source:
            target.write_text(source, "utf-8")
        elif plugin.own_tests is not None:
            target = plugin.own_tests
        else:
            why = _("not run: it needs the plugin's own tests, and it was not installed from its folder")
            return ContractRun(
                kind=kind,
                entry=entry.name,
                contract=contract.class_name,
                status=Status.SKIPPED,
                details=(why,),
            )
        return _run_pytest(folder, target, kind, entry.name, contract)


def _run_pytest(folder: Path, target: Path, kind: str, name: str, contract: ContractClass) -> ContractRun:
    settings, results = folder / "pytest.ini", folder / "results.json"
    settings.write_text(_SETTINGS, "utf-8")
    options = [
        "-q",
        "-c",
        str(settings),
        "--rootdir",
        str(folder),
        "-p",
        "gpurent.testing.plugin_check.pytest_results",
    ]
    options += [
        "--contract-class",
        contract.class_name,
        "--contract-results",
        str(results),
        "-m",
        "not nightly and not vendor",
    ]
    options += ["--continue-on-collection-errors", "--basetemp", str(folder / "t")]
    command = make_python_command("-m", "pytest", *options, str(target))
    try:
        done = run_program(command, environment=make_child_environment(USER_VARIABLES), timeout=TIME_LIMIT)
        output = done.stdout + done.stderr
    except TimeoutError as error:
        output = f"{error}"
    found = json.loads(results.read_text("utf-8")) if results.exists() else []
    counts = Counter(item["outcome"] for item in found)
    failures = [
        f"{item['test'].rpartition('::')[2]}: {item['message']}"
        for item in found
        if item["outcome"] == "failed"
    ]
    if not counts["passed"] and not failures:
        failures = [_("no test was run: {output}").format(output=" ".join(output.split())[-300:])]
    return ContractRun(
        kind=kind,
        entry=name,
        contract=contract.class_name,
        status=Status.FAILED if failures else Status.PASSED,
        passed=counts["passed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        details=tuple(failures),
    )


def judge_contracts(runs: Sequence[ContractRun]) -> list[RuleFinding]:
    """Return what the runs say about the rules ``contracts`` and ``faults``."""
    faults = [
        f"{run.kind} {run.entry}: {run.contract}: {detail}"
        for run in runs
        if run.status is Status.FAILED
        for detail in run.details
    ]
    unrun = [
        f"{run.kind} {run.entry}: {run.details[0]}"
        for run in runs
        if run.status is Status.SKIPPED and run.contract
    ]
    found = judge("contracts", faults)
    if unrun and not faults:
        found = RuleFinding("contracts", Status.SKIPPED, tuple(unrun))
    return [found, _judge_faults(runs)]


def _judge_faults(runs: Sequence[ContractRun]) -> RuleFinding:
    """A role that talks to something needs a contract in which answers get lost."""
    lacking = []
    for run in runs:
        contract = find_contract(run.kind)
        has_faults = contract is not None and contract.has_faults and run.status is Status.PASSED
        if run.kind not in PURE_KINDS and not has_faults:
            why = run.details[0] if run.details else _("no contract with faults")
            lacking.append(f"{run.kind} {run.entry}: {why}")
    return judge("faults", lacking)
