"""What `gpurent plugin check` prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from gpurent.cli.views.replay_report import iter_replay
from gpurent.cli.views.table import format_table
from gpurent.locale import N_, _, join_list

OBSERVED_ROUTE = N_("{method} {path}: observed on {date} with version {version}")
MAX_LINES = 12
"""Of details of one rule; all are in the JSON document."""
_STATUS: Mapping[str, str] = {
    "passed": N_("kept"),
    "failed": N_("broken"),
    "open": N_("not reached"),
    "skipped": N_("not examined"),
    "exempt": N_("exempt"),
}
_LEVELS: Mapping[str, str] = {"bronze": N_("bronze"), "silver": N_("silver"), "gold": N_("gold")}


def format_report(data: Mapping[str, Any]) -> str:
    """Format the data of a report: a table of the rules, the contracts, what is wrong, and the level."""
    rules = [(_(_STATUS[rule["status"]]), _(_LEVELS[rule["level"]]), rule["title"]) for rule in data["rules"]]
    parts = [
        f"{data['distribution']} {data['version']}",
        format_table((_("outcome"), _("level"), _("rule")), rules),
    ]
    if data["contracts"]:
        parts.append(
            format_table(
                (_("contract"), _("entry"), _("tests")), [_make_row(run) for run in data["contracts"]]
            )
        )
    if data["evidence"]:
        counts = join_list(f"{name} {count}" for name, count in data["evidence"].items())
        parts.append(_("Routes of the simulator by evidence: {counts}").format(counts=counts))
    parts += [_(OBSERVED_ROUTE).format(**route) for route in data["observed"]]
    parts += [
        "\n".join(_iter_details(rule))
        for rule in data["rules"]
        if rule["status"] != "passed" and rule["details"]
    ]
    if data["live"]:
        parts.append("\n".join(_iter_live(data["live"])))
    if data["replay"]:
        parts.append("\n".join(iter_replay(data["replay"])))
    parts.append("\n".join(_iter_verdict(data)))
    return "\n\n".join(parts)


def _make_row(run: Mapping[str, Any]) -> tuple[str, str, str]:
    tests = _("{passed} passed, {failed} failed, {skipped} skipped").format(
        passed=run["passed"], failed=run["failed"], skipped=run["skipped"]
    )
    is_run = run["passed"] + run["failed"]
    entry = f"{run['kind']} {run['entry']}"
    return run["contract"] or "-", entry, tests if is_run else join_list(run["details"][:1])


def _iter_details(rule: Mapping[str, Any]) -> Iterator[str]:
    yield f"{_(_STATUS[rule['status']])}: {rule['title']}"
    yield from (f"  {line}" for line in rule["details"][:MAX_LINES])
    if (more := len(rule["details"]) - MAX_LINES) > 0:
        yield "  " + _("and {count} more").format(count=more)


def _iter_verdict(data: Mapping[str, Any]) -> Iterator[str]:
    is_replay_wrong = data["replay"] and not data["replay"]["ok"]
    if data["ok"]:
        yield _("Nothing is wrong.")
    elif is_replay_wrong:
        yield _("Something is wrong: see the rules that are broken, and the answers that are not understood.")
    else:
        yield _("Something is wrong: see the rules that are broken.")
    reached = data["level"]
    order = list(_LEVELS)
    following = (
        order[order.index(reached) + 1] if reached and reached != "gold" else "" if reached else order[0]
    )
    rules = [rule for rule in data["rules"] if rule["level"] == following]
    missing = [rule["title"] for rule in rules if rule["status"] in ("failed", "open")]
    unseen = [rule["title"] for rule in rules if rule["status"] == "skipped"]
    lowest = _("not known") if unseen and not missing else _("none")
    yield _("Level: {level}").format(level=_(_LEVELS[reached]) if reached else lowest)
    if missing:
        yield _("For {level} it lacks:").format(level=_(_LEVELS[following]))
        yield from (f"  {title}" for title in missing)
    if unseen:
        yield _("For {level} these were not looked at:").format(level=_(_LEVELS[following]))
        yield from (f"  {title}" for title in unseen)
    if reached != "gold" and not data["live"]:
        yield _("Gold needs a live run against the real service, which this check does not make.")


def _iter_live(live: Mapping[str, Any]) -> Iterator[str]:
    head = (_("entry"), _("question"), _("answer"))
    rows = [
        (
            f"{answer['kind']} {answer['entry']}",
            answer["question"],
            f"{_answer_word(answer)}: {answer['text']}",
        )
        for answer in live["answers"]
    ]
    yield format_table(head, rows) if rows else _("It has no service to ask.")
    for trip in live["trips"]:
        yield _("Trip {trip} with lease {lease}: exit code {code}").format(
            trip=trip["trip"], lease=trip["lease"], code=trip["exit_code"]
        )
    if live["is_sandbox"]:
        yield _("This was the sandbox: it says nothing about the real service.")
    elif live["ok"] and rows:
        yield _("Date it in quality.toml:")
        yield f"  [live]\n  date = {datetime.now(UTC):%Y-%m-%d}"


def _answer_word(answer: Mapping[str, Any]) -> str:
    return _("ok") if answer["ok"] else _("failed")
