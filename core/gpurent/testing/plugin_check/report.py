"""The rules, the quality levels, and what an examination found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from attrs import define, field, frozen

from gpurent.locale import N_, _


class Status(Enum):
    """OPEN: not wrong, but a level needs it. SKIPPED: could not be examined. EXEMPT: the plugin says why not."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"
    SKIPPED = "skipped"
    EXEMPT = "exempt"


class Level(Enum):
    """The quality levels, lowest first."""

    BRONZE = "bronze"
    SILVER = "silver"
    GOLD = "gold"


@frozen(kw_only=True)
class Rule:
    """``needed``: a plugin that breaks it is wrong; of other rules, only the level depends."""

    name: str
    level: Level
    title: str
    needed: bool = True


RULES = (
    Rule(name="loads", level=Level.BRONZE, title=N_("its entries load")),
    Rule(name="api", level=Level.BRONZE, title=N_("it states its version of gpurent.api, and this is it")),
    Rule(name="requirements", level=Level.BRONZE, title=N_("what it requires is installed")),
    Rule(name="start", level=Level.BRONZE, title=N_("its entries load fast, without heavy modules")),
    Rule(name="imports", level=Level.BRONZE, title=N_("of gpurent it imports gpurent.api alone")),
    Rule(name="references", level=Level.BRONZE, title=N_("what its entries name is there")),
    Rule(name="builds", level=Level.BRONZE, title=N_("each entry builds an object of its role")),
    Rule(name="routes", level=Level.BRONZE, title=N_("each route of its simulator states its evidence")),
    Rule(name="contracts", level=Level.BRONZE, title=N_("the contracts of its roles are kept")),
    Rule(name="languages", level=Level.BRONZE, title=N_("its texts are there in English and Chinese")),
    Rule(
        name="readme",
        level=Level.BRONZE,
        title=N_("README says what it costs and what it cannot do"),
        needed=False,
    ),
    Rule(
        name="simulator",
        level=Level.BRONZE,
        title=N_("a service comes with a simulator of it"),
        needed=False,
    ),
    Rule(
        name="context-only",
        level=Level.SILVER,
        title=N_("clock, HTTP and mail are those of its context"),
        needed=False,
    ),
    Rule(
        name="faults",
        level=Level.SILVER,
        title=N_("its contracts lose and spoil answers"),
        needed=False,
    ),
    Rule(
        name="types",
        level=Level.GOLD,
        title=N_("every function is typed, and py.typed says so"),
        needed=False,
    ),
    Rule(
        name="evidence",
        level=Level.GOLD,
        title=N_("no route of its simulator is only assumed"),
        needed=False,
    ),
    Rule(name="live", level=Level.GOLD, title=N_("a live run is dated in quality.toml"), needed=False),
)
RULES_BY_NAME: Mapping[str, Rule] = {rule.name: rule for rule in RULES}


@frozen
class RuleFinding:
    """What was found about one rule; ``details`` are lines for people."""

    rule: str
    status: Status
    details: tuple[str, ...] = ()


def judge(rule: str, faults: Sequence[str], notes: Sequence[str] = ()) -> RuleFinding:
    """Return a finding: with ``faults`` the rule is broken, else it is kept, and ``notes`` say how."""
    if not faults:
        return RuleFinding(rule, Status.PASSED, tuple(notes))
    return RuleFinding(rule, Status.FAILED if RULES_BY_NAME[rule].needed else Status.OPEN, tuple(faults))


def skip(rule: str, why: str) -> RuleFinding:
    return RuleFinding(rule, Status.SKIPPED, (why,))


@frozen(kw_only=True)
class ContractRun:
    """The tests of one contract for one entry; ``contract`` empty: this version has none for the role."""

    kind: str
    entry: str
    contract: str = ""
    status: Status
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    details: tuple[str, ...] = ()

    def to_data(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "entry": self.entry,
            "contract": self.contract,
            "status": self.status.value,
            "passed": self.passed,
            "failed": self.failed,
            "skipped": self.skipped,
            "details": list(self.details),
        }


@define(kw_only=True)
class PluginReport:
    """Everything that was found about one plugin. ``exempt`` are its own reasons, by rule."""

    plugin: str
    distribution: str
    version: str
    entries: Sequence[tuple[str, str]] = ()
    exempt: Mapping[str, str] = field(factory=dict)
    contracts: Sequence[ContractRun] = ()
    evidence: Mapping[str, int] = field(factory=dict)
    observed: Sequence[Mapping[str, str]] = ()
    _findings: dict[str, RuleFinding] = field(factory=dict)

    def add(self, finding: RuleFinding) -> None:
        """Add a finding; the plugin's own reason excuses one that is not good, but no lack of a live run."""
        reason = self.exempt.get(finding.rule) if finding.rule != "live" else None
        if reason and finding.status is not Status.PASSED:
            finding = RuleFinding(finding.rule, Status.EXEMPT, (reason, *finding.details))
        self._findings[finding.rule] = finding

    @property
    def findings(self) -> list[RuleFinding]:
        """The findings, in the order of the rules."""
        return [self._findings[rule.name] for rule in RULES if rule.name in self._findings]

    @property
    def ok(self) -> bool:
        return all(finding.status is not Status.FAILED for finding in self.findings)

    @property
    def level(self) -> Level | None:
        """The highest level of which, and of those below, every rule is kept or exempt."""
        reached = None
        for level in Level:
            if self.list_missing(level):
                break
            reached = level
        return reached

    def list_missing(self, level: Level) -> list[Rule]:
        """Return the rules of a level that are not kept; one that was not examined counts as not kept."""
        kept = (Status.PASSED, Status.EXEMPT)
        return [
            rule
            for rule in RULES
            if rule.level is level
            and (rule.name not in self._findings or self._findings[rule.name].status not in kept)
        ]

    def to_data(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        level = self.level
        return {
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "ok": self.ok,
            "level": level.value if level else None,
            "entries": [{"kind": kind, "name": name} for kind, name in self.entries],
            "rules": [
                {
                    "rule": finding.rule,
                    "level": RULES_BY_NAME[finding.rule].level.value,
                    "status": finding.status.value,
                    "title": _(RULES_BY_NAME[finding.rule].title),
                    "details": list(finding.details),
                }
                for finding in self.findings
            ],
            "contracts": [run.to_data() for run in self.contracts],
            "evidence": dict(self.evidence),
            "observed": [dict(route) for route in self.observed],
        }
