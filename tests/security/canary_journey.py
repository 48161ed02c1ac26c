"""A whole journey at a provider, at a terminal, with canaries: secrets, and text of others that attacks a terminal."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, define

from gpurent.domain.secret import Secret
from gpurent.errors import InternalError, PluginError
from gpurent.infra.outside_records import make_outside_records
from gpurent.infra.redact import MASK
from gpurent.infra.vault.file_vault import FileVault
from gpurent.roles.entries import ExporterEntry
from gpurent.testing.sandbox.service_faults import ServiceFault
from gpurent.testing.sandbox_harness import installed_plugins
from tests.reliability.providers import TestableProvider
from tests.security.canaries import HOSTILE, POSED_ROW, find_harm
from tests.security.secret_search import ProcessSampler, SecretSearch, list_parts
from tests.security.terminal_user import Screen, TerminalUser
from tests.workflow.trip_sandbox import TripSandbox, trip_sandbox

SPEED = 100
PASSPHRASE = "canary passphrase 7f3a"
NEW_LINE = "\n"
JOB = "printf '%b' {text}; mkdir -p out; echo done > out/result.txt; echo x > out/{name}\n"
HOSTILE_NAME = "odd\x1b[2J\u202ename.txt"
JOB_COMMANDS = ("run", "logs")
"""Show a job's own lines as lines."""
TERMINAL_COMMANDS = ("exec",)
"""Give the terminal to the machine, as ssh does."""
MAX_ECHO = 200
PROGRAMS = ("browser", "code", "crontab")
ERROR_STATUSES = (400, 500)


@define(eq=False)
class CanaryJourney:
    """One user at one provider; ``typed_secrets``: what the user typed or has in the environment, by its name."""

    provider: TestableProvider
    sandbox: TripSandbox
    terminal: TerminalUser
    root: Path
    sampler: ProcessSampler
    typed_secrets: dict[str, str] = Factory(dict)
    term: tuple[str, ...] = ()
    lease: str = ""

    async def type(self, *arguments: str, code: int | None = 0, **given: Any) -> Screen:
        """Type a command that must end with ``code``; None: with any."""
        screen = await self.terminal.type_command(*arguments, **given)
        assert code is None or screen.code == code, f"{shlex.join(arguments)}: {screen.code}\n{screen.text}"
        return screen

    async def read(self, *arguments: str) -> Any:
        result = await self.sandbox.run_command("--json", *arguments)
        assert result.code == 0, result.out + result.err
        return result.data

    @asynccontextmanager
    async def fault(self, service: str, **options: Any) -> AsyncIterator[None]:
        faults = self.sandbox.cloud.faults
        active = await faults.add(ServiceFault(service=service, **options))
        try:
            yield
        finally:
            await faults.clear(active.id)

    # the journey

    async def log_in(self) -> None:
        funding = self.provider.get_funding(self.sandbox.cloud.simulators_by_name)
        options: list[str] = []
        secret = ""
        for name, value in funding.get_login_fields().items():
            if name in self.provider.secret_fields:
                options, secret = [*options, "--stdin", name], value
                self.typed_secrets[f"login {name}"] = value
            else:
                options += ["-f", f"{name}={value}"]
        await self.type("login", self.provider.name, *options, input_text=secret or NEW_LINE)
        (identity,) = await self.read("whoami")
        await funding.add_money(identity["account"])
        self.term = ("--for", "2h") if self.provider.renews else ()

    async def look_at_offers(self) -> None:
        """Look at offers whose GPU has a hostile name, written as JSON and as HTML have it; then plan."""
        name = self.provider.name
        (first, *_others) = await self.read("offers", "-p", name)
        gpu = _find_value(first, "gpu")
        assert gpu
        for text in (json.dumps(HOSTILE)[1:-1], HOSTILE):
            async with self.fault("*", replacements=((gpu, gpu + text.replace("\\", "\\\\")),)):
                await self.type("offers", "-p", name, code=None)
        await self.type("providers", code=None)

    async def run_job(self) -> None:
        """Run a job that prints and writes what attacks a terminal."""
        folder = self.root / "project"
        folder.mkdir()
        quoted = shlex.quote("".join(f"\\0{byte:03o}" for byte in HOSTILE.encode()))
        (folder / "job.sh").write_text(JOB.format(text=quoted, name=shlex.quote(HOSTILE_NAME)))
        options = ("-p", self.provider.name, *self.term, "--keep", "--results", "out")
        await self.type("-y", "plan", *options, "--", "sh", "job.sh", folder=folder)
        await self.type("-y", "run", *options, "--", "sh", "job.sh", folder=folder)
        assert (folder / "out" / "result.txt").exists()
        (self.lease,) = (lease["id"] for lease in await self.read("ls"))

    async def use_machine(self) -> None:
        quoted = shlex.quote("".join(f"\\0{byte:03o}" for byte in HOSTILE.encode()))
        hostile = ("sh", "-c", f"printf '%b' {quoted}; printf '%b' {quoted} >&2")
        await self.type("exec", self.lease, "--", *hostile, code=None)
        await self.type("-y", "start", "--name", "noisy", self.lease, "--", *hostile, code=None)
        for looked in (
            ("ls", "--refresh"),
            ("show", self.lease),
            ("logs", self.lease, "noisy"),
            ("sessions", self.lease),
        ):
            await self.type(*looked, code=None)
        await self.type("watch", "--once", code=None)

    async def export_everything(self) -> None:
        for name in installed_plugins().get_entries(ExporterEntry):
            path = self.root / f"export-{name}"
            await self.type("export", name, self.lease, "-o", str(path), code=None)

    async def start_programs(self) -> None:
        """Let gpurent start others' programs; each writes down what it was given, where files are searched."""
        dump = (
            f'#!/bin/sh\n{{ echo "$0" "$@"; env; }} >>{self.root}/started-$(basename "$0")\n'
            '[ "$1" != - ] || cat >/dev/null\n'
        )
        for name in PROGRAMS:
            path = self.root / "bin" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(dump)
            path.chmod(0o755)
        self.sandbox.extra_environment["PATH"] = f"{self.root / 'bin'}:{os.environ['PATH']}"
        self.sandbox.extra_environment |= {"BROWSER": str(self.root / "bin" / "browser"), "DISPLAY": ":7"}
        await self.type("open", self.lease, code=None)
        for name, entry in installed_plugins().get_entries(ExporterEntry).items():
            if entry.can_open:
                await self.type("-y", "open", self.lease, f"--{name}", code=None)
        await self.type("-y", "watch", "install", "--as", "cron")
        assert {path.name for path in self.root.glob("started-*")} >= {"started-crontab", "started-browser"}

    async def log_requests(self) -> None:
        """Reach the provider at an address that holds the login's secret: the log names the address of each request."""
        stored = (text for name, text in self.find_secrets().items() if name.startswith("vault logins/"))
        secret = next(part for text in stored for part in list_parts(text) if part.isalnum())
        plain = self.sandbox.cloud.urls[self.provider.name]
        names = [
            name for name, url in self.sandbox.environment().items() if url.rstrip("/") == plain.rstrip("/")
        ]
        self.sandbox.extra_environment |= dict.fromkeys(names, f"{plain}/{secret}")
        shown = await self.type("-v", "-v", "ls", "--refresh", code=None)
        assert f"{plain}/{MASK}" in shown.text, shown.text
        for name in names:
            del self.sandbox.extra_environment[name]

    async def account(self) -> None:
        for command in ("balance", "receipts", "costs", "reconcile", "trips", "orphans", "whoami"):
            await self.type(command, code=None)
        await self.type("-v", "-v", "ls", "--refresh", code=None)

    async def meet_errors(self) -> None:
        """Meet answers that repeat the user's secrets among hostile text, and an error that nobody foresaw."""
        parts = {part for secret in self.find_secrets().values() for part in list_parts(secret)}
        body = " ".join((HOSTILE, *sorted(part for part in parts if len(part) < MAX_ECHO)))
        for status in ERROR_STATUSES:
            async with self.fault("*", status=status, body=body):
                await self.type("-v", "-v", "balance", self.provider.name, code=None)
                await self.type("offers", code=None)
        failed = await self.type("balance", self.provider.name, fails_at=("http", 1), code=None)
        assert failed.code in (InternalError.exit_code, PluginError.exit_code), failed.text
        assert list(self.sandbox.home.rglob("gpurent-crash-*")), "no report of the error"

    async def release(self) -> None:
        await self.type("-y", "release", self.lease, code=None)
        await self.type("ls", "--all", code=None)

    async def take(self) -> None:
        """The whole journey."""
        with self.sampler.sampling():
            await self.log_in()
            await self.look_at_offers()
            await self.run_job()
            await self.use_machine()
            await self.export_everything()
            await self.start_programs()
            await self.meet_errors()
            await self.log_requests()
            await self.account()
            await self.release()

    # what came of it

    def find_secrets(self) -> Mapping[str, str]:
        """Return every secret that the user has by now, by its name: those typed, and all in the vault."""
        folder = self.sandbox.home / "state"
        passphrase = self.typed_secrets.get("passphrase")
        vault = FileVault(
            folder / "vault",
            lambda first: Secret(passphrase) if passphrase else None,
            make_outside_records(folder, self.sandbox.environment()),
        )
        names = json.loads((folder / "vault" / "vault.json").read_bytes())["records"]
        found = {f"vault {name}": vault.get(name) for name in names}
        return {
            **self.typed_secrets,
            **{name: secret.reveal() for name, secret in found.items() if secret is not None},
        }

    def list_leaks(self) -> Sequence[str]:
        """Return where a secret is outside of the vault: in files, arguments, environments, on the terminal."""
        search = SecretSearch(self.find_secrets())
        screens = (
            f"{name} on the screen of gpurent {shlex.join(screen.arguments)}"
            for screen in self.terminal.screens
            for name in sorted(search.find(screen.text.encode("utf-8", "replace")))
        )
        own = [path for path in self.sandbox.home.rglob("*") if path.name == "vault.json"]
        files = search.find_in_folder(self.root, [self.root / "cloud", *own])
        return [*files, *screens, *self.sampler.find(search)]

    def list_harm(self) -> Sequence[str]:
        """Return what reached the terminal that it obeys, beside our own colours and progress."""
        return [
            f"{harm} on the screen of gpurent {shlex.join(screen.arguments)}"
            for screen in self.terminal.screens
            if not set(TERMINAL_COMMANDS) & set(screen.arguments[:2])
            for harm in find_harm(_drop_progress(screen.text))
            if not (POSED_ROW in harm and set(JOB_COMMANDS) & set(screen.arguments[:2]))
        ]


def _find_value(document: Any, name: str) -> str:
    """Return the first text of that name anywhere in a JSON document."""
    inner: Sequence[Any] = ()
    if isinstance(document, dict):
        if isinstance(document.get(name), str):
            return str(document[name])
        inner = tuple(document.values())
    elif isinstance(document, list):
        inner = document
    return next(filter(None, (_find_value(one, name) for one in inner)), "")


def _drop_progress(text: str) -> str:
    """Return the text without what our progress does: hide and show the cursor, clear its line, go up."""
    for code in ("\x1b[?25l", "\x1b[?25h", "\x1b[2K", "\x1b[1A", "\x1b[K"):
        text = text.replace(code, "")
    return text.replace("\r\n", "\n").replace("\r", "")


@asynccontextmanager
async def open_journey(
    provider: TestableProvider, root: Path, language: str, passphrase: str = ""
) -> AsyncIterator[CanaryJourney]:
    """A new user in a new sandbox below ``root``, whose vault has a ``passphrase`` if one is given."""
    async with trip_sandbox(root, machines=4, speed=SPEED) as sandbox:
        sandbox.home.mkdir(mode=0o700, exist_ok=True)
        scratch = root / "tmp"
        scratch.mkdir()
        environment = {
            "GPURENT_LANG": language,
            "LANG": "C.UTF-8",
            "TERM": "xterm-256color",
            "TMPDIR": str(scratch),
        }
        terminal = TerminalUser(sandbox, environment)
        journey = CanaryJourney(provider, sandbox, terminal, root, ProcessSampler())
        password = next(
            value for name, value in sandbox.environment().items() if name.endswith("IMAP_PASSWORD")
        )
        journey.typed_secrets["mail password"] = password
        if passphrase:
            sandbox.extra_environment["GPURENT_PASSPHRASE"] = journey.typed_secrets["passphrase"] = passphrase
        yield journey
