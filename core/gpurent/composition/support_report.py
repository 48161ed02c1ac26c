"""The report of `gpurent report`, for whoever helps the user: facts about this installation, and nothing secret.

Only what is listed here is in it, and all of it is redacted as recordings are: no value of a secret setting, no
address, no name of the user or of this computer, no command of a job, no file name of a project.
"""

from __future__ import annotations

import os
import re
import socket
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent import __version__
from gpurent.composition.configuration import list_settings, make_config_editor
from gpurent.composition.state import StoredState
from gpurent.composition.system import data_folder, run_without_loop
from gpurent.domain.locks import GUARD_LOCK
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError
from gpurent.infra.recording.redact_text import TextRedaction
from gpurent.infra.redact import Redactor, split_secret
from gpurent.terminal_text import strip_terminal, strip_to_line

if TYPE_CHECKING:
    from datetime import datetime

    from gpurent.domain.trip import TripRecord
    from gpurent.infra.registry.registry import EntryPointRegistry

MAX_TRIPS = 5
MAX_CRASH_REPORTS = 3
MAX_CRASH_LENGTH = 8000
_SHOWN_VARIABLES = (
    *("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "TZ"),
    *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "LC_MESSAGES"),
)
# Names of terminals, locales and time zones.
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_+:/-]{0,40}(\.[A-Za-z0-9-]{1,20})?(@[A-Za-z]{1,20})?")
_KNOWN_FILES = frozenset(
    {"config.toml", "journal.sqlite", "locks", "logs", "outside-records.json", "pages", "ssh", "sandbox"}
    | {"trusted-projects", "vault", "watch.log", "trips"}
)
# Of these, only whether they are set: their values may be secret.
_NAMED_VARIABLES = (
    "GPURENT_",
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_",
    "PYTHON",
    "XDG_",
)


@frozen
class Fact:
    """``label`` is of ours: a word of the program, or a declared name. ``value`` may hold anything, and is redacted."""

    label: str
    value: str = ""


def make_support_report(registry: EntryPointRegistry, environment: Mapping[str, str]) -> str:
    """Return the report as text; a part that cannot be read says so."""
    sections: tuple[tuple[str, Callable[[], Iterator[Fact]]], ...] = (
        ("installation", lambda: _describe_installation(registry)),
        ("environment", lambda: _describe_environment(environment)),
        ("data folder", _describe_folder),
        ("settings", lambda: _describe_settings(registry, environment)),
        ("state", lambda: _describe_state(registry, environment)),
        ("crash reports", _describe_crashes),
    )
    redaction = _make_redaction(registry, environment)
    lines = [f"gpurent report, version {__version__}"]
    for title, describe in sections:
        lines += ["", f"[{title}]"]
        for fact in _collect(describe):
            value = redaction.redact(_hide_home(strip_terminal(fact.value)))
            lines.append(f"{strip_to_line(fact.label)}{value}".rstrip())
    return "\n".join(lines) + "\n"


def _collect(describe: Callable[[], Iterator[Fact]]) -> list[Fact]:
    found = []
    try:
        for fact in describe():
            found.append(fact)  # noqa: PERF402 - what was read before an error stays
    except GpurentError as error:
        found.append(Fact(f"cannot be read: {error.code}: ", error.message))
    except Exception as error:  # noqa: BLE001 - what is broken is what the report is for
        found.append(Fact(f"cannot be read: {type(error).__name__}"))
    return found


def _make_redaction(registry: EntryPointRegistry, environment: Mapping[str, str]) -> TextRedaction:
    """Return what hides the user's secrets as far as they are known here, and the names of user and computer."""
    known = Redactor()
    for value in _list_secrets(registry, environment):
        for part in split_secret(value):
            known.register_secret(Secret(part))
    users = (environment.get(name, "") for name in ("USER", "LOGNAME"))
    for name in (*users, socket.gethostname(), Path.home().name):
        if name not in ("root", "localhost"):
            known.register_account(name)
    return TextRedaction(known=known)


def _list_secrets(registry: EntryPointRegistry, environment: Mapping[str, str]) -> list[str]:
    found = [environment.get("GPURENT_PASSPHRASE", "")]
    try:
        rows = list_settings(make_config_editor(registry, data_folder()), environment)
    except GpurentError:
        return found
    return found + [row.value for row in rows if row.is_secret and row.value]


def _hide_home(line: str) -> str:
    home = str(Path.home())
    return line.replace(home, "~") if len(home) > 1 else line


def _describe_installation(registry: EntryPointRegistry) -> Iterator[Fact]:
    from platform import libc_ver, machine, release, system

    yield Fact(f"python {sys.version.split()[0]}, {system()} {release()} {machine()}, {' '.join(libc_ver())}")
    for plugin in registry.plugins:
        if not plugin.is_core:
            names = " ".join(f"{kind}:{name}" for kind, name in plugin.entries)
            yield Fact(f"{plugin.distribution} {plugin.version}: {names}")
    for problem in registry.problems:
        yield Fact(f"problem: {problem.distribution}: ", problem.what)


def _describe_environment(environment: Mapping[str, str]) -> Iterator[Fact]:
    yield Fact(f"stdout: {sys.stdout.encoding}, terminal: {os.isatty(1)}; stdin: terminal: {os.isatty(0)}")
    for name in (name for name in _SHOWN_VARIABLES if name in environment):
        is_plain = _PLAIN_VALUE.fullmatch(environment[name]) is not None
        yield Fact(f"{name}={environment[name]}") if is_plain else Fact(f"{name}=", environment[name])
    names = [name for name in environment if name.upper().startswith(_NAMED_VARIABLES)]
    yield Fact(f"set: {' '.join(sorted(names)) or '-'}")


def _describe_folder() -> Iterator[Fact]:
    folder = data_folder()
    yield Fact("", str(folder))
    if not folder.is_dir():
        yield Fact("there is none")
        return
    for path in sorted(folder.iterdir()):
        found = path.lstat()
        known = path.name if path.name in _KNOWN_FILES else f"another, {path.suffix or 'without a suffix'}"
        yield Fact(f"{found.st_mode:o} {found.st_size:>10} {known}")


def _describe_settings(registry: EntryPointRegistry, environment: Mapping[str, str]) -> Iterator[Fact]:
    for row in list_settings(make_config_editor(registry, data_folder()), environment):
        if row.value is not None:
            yield Fact(f"{row.source} {row.name} = ", "***" if row.is_secret else row.value)


def _describe_state(registry: EntryPointRegistry, environment: Mapping[str, str]) -> Iterator[Fact]:
    if not (data_folder() / "journal.sqlite").exists():
        yield Fact("there is no journal")
        return
    state = StoredState(registry, data_folder(), environment)
    try:
        yield from run_without_loop(_read_state(state))
    finally:
        state.store.close()


async def _read_state(state: StoredState) -> list[Fact]:
    store, now = state.store, state.clock.now()
    leases = Counter((lease.provider, lease.state.value) for lease in await store.list_leases())
    guard, last = await store.find_lock_owner(GUARD_LOCK), await store.find_last_holder(GUARD_LOCK)
    facts = [Fact(f"time {_format_time(now)}")]
    facts += [
        Fact(f"leases: {provider} {kind} {count}") for (provider, kind), count in sorted(leases.items())
    ]
    facts.append(
        Fact(f"guard: running {guard is not None}, last start {_format_time(last.since if last else None)}")
    )
    facts.append(Fact(f"orphans searched: {_format_time(await store.find_orphan_search_time())}"))
    for trip in (await store.list_trips())[-MAX_TRIPS:]:
        facts += await _describe_trip(state, trip)
    return facts


def _format_time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC" if at is not None else "never"


async def _describe_trip(state: StoredState, trip: TripRecord) -> list[Fact]:
    """Return the trip with its steps, but without its command, its files and its results."""
    tools = f"session {trip.spec.job.session or '-'}, transfer {trip.spec.upload.transfer or '-'}"
    begun, outcome = _format_time(trip.started_at), trip.outcome_text or "open"
    facts = [Fact(f"trip {trip.id}: {trip.kind}, {trip.lease or 'no lease'}, {begun}, {outcome}, {tools}")]
    for step in await state.store.list_steps(trip.id):
        took = f"{step.done_at - step.started_at}" if step.done_at else "not done"
        facts.append(Fact(f"  {step.name}: {took}"))
    return facts


def _describe_crashes() -> Iterator[Fact]:
    """Yield the newest ones; they have the code's lines and no values."""
    found = sorted(
        (data_folder() / "logs").glob("gpurent-crash-*.txt"), key=lambda path: path.stat().st_mtime
    )
    if not found:
        yield Fact("none")
    for path in found[-MAX_CRASH_REPORTS:]:
        yield from (
            Fact("", line) for line in path.read_text("utf-8", "replace")[-MAX_CRASH_LENGTH:].split("\n")
        )
