"""Record a newcomer's first hour in English and Chinese, for the documentation (`make docs`).

What `make dist` builds is installed in an empty environment, without the repository, and what a reader of
docs/getting-started.md would type (``first_hour.toml``) is typed into a terminal of 80 columns (tmux). The transcripts
are ``build/first-hour/LANGUAGE.md``, which `docs/conf.py` appends to the page. A command that fails, or waits for
something that nobody answers, ends the recording with an error: it is a dead end.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "build" / "first-hour"
COLUMNS, LINES = 80, 40
PATIENCE = 300.0
LANGUAGES = {"en": "en_US.UTF-8", "zh": "zh_CN.UTF-8"}
_QUESTION = re.compile(r"[])）][:：]\s*\Z")
_PAYMENT_PAGE = re.compile(r"http://127\.0\.0\.1:\d+/\S+")


@dataclass(frozen=True)
class Step:
    """A step of ``first_hour.toml``, which says what its fields are."""

    command: str
    en: str = ""
    zh: str = ""
    answer: str | None = None
    pays: bool = False


def read_steps() -> list[Step]:
    found = tomllib.loads((ROOT / "scripts" / "first_hour.toml").read_text("utf-8"))
    return [Step(**step) for step in found["steps"]]


class DeadEndError(Exception):
    """A newcomer could not go on."""


class Terminal:
    """A shell in tmux. ``statuses``: the file to which the shell writes the exit status of each command."""

    def __init__(self, folder: Path, language: str) -> None:
        self._socket = str(folder / "tmux.socket")
        self._statuses = folder / "statuses"
        self._statuses.touch()
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder / "home"),
            "LANG": LANGUAGES[language],
            "PS1": "$ ",
            "VIRTUAL_ENV_DISABLE_PROMPT": "1",
            "PROMPT_COMMAND": f"echo $? >> {shlex.quote(str(self._statuses))}",
            "TERM": "screen-256color",
        }
        self._run(
            "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES), "-c", str(folder / "home"),
            "env", "-i", *(f"{name}={value}" for name, value in environment.items()), "bash", "--norc", "--noprofile",
        )  # fmt: skip
        self._done = 0
        self._wait(lambda: self._count() > 0, "the shell")
        self._done = self._count()

    def _run(self, *arguments: str) -> str:
        command = ["tmux", "-u", "-f", "/dev/null", "-S", self._socket, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return done.stdout

    def _count(self) -> int:
        return len(self._statuses.read_text().split())

    def _wait(self, is_done: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not is_done():
            if time.monotonic() > until:
                raise DeadEndError(f"{what} does not end:\n{self.read()}")
            time.sleep(0.2)

    def read(self) -> str:
        """Return what the terminal shows and has shown since the last command was typed."""
        return self._run("capture-pane", "-p", "-S", "-").rstrip()

    def type(self, step: Step, command: str) -> str:
        """Type a command and return what the terminal shows then, with the command itself."""
        self._run("send-keys", "C-l")
        time.sleep(0.3)
        self._run("clear-history")
        self._run("send-keys", "-l", command)
        self._run("send-keys", "Enter")
        answered, is_paid = "", False

        def is_done() -> bool:
            nonlocal answered, is_paid
            if self._count() > self._done:
                return True
            shown = self.read()
            if step.answer is not None and shown != answered and _QUESTION.search(shown):
                answered = shown
                self._run("send-keys", "-l", step.answer)
                self._run("send-keys", "Enter")
            page = _PAYMENT_PAGE.search(shown.replace("\n", ""))
            if step.pays and not is_paid and page:
                is_paid = True
                urllib.request.urlopen(f"{page.group()}/settle", b"")  # noqa: S310 - of the sandbox
            return False

        self._wait(is_done, command)
        status = self._statuses.read_text().split()[-1]
        self._done = self._count()
        time.sleep(0.3)
        shown = self.read().removesuffix("$").rstrip()
        if status != "0":
            raise DeadEndError(f"{command} ended with {status}:\n{shown}")
        return shown

    def close(self) -> None:
        """End the sandbox, if it still runs, and the shell."""
        self._run("send-keys", "C-c")
        self._run("send-keys", "-l", " gpurent sandbox down")
        self._run("send-keys", "Enter")
        until = time.monotonic() + 30
        while self._count() <= self._done and time.monotonic() < until:
            time.sleep(0.2)
        time.sleep(1)
        self._run("kill-server")


def record(language: str, dist: Path, driver: str) -> str:
    """Return the transcript as Markdown."""
    parts = []
    with tempfile.TemporaryDirectory(prefix="first-hour-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        home = folder / "home"
        home.mkdir()
        shutil.copytree(dist, home / "dist")
        shutil.copytree(
            ROOT / "examples" / "digits", home / "digits", ignore=shutil.ignore_patterns("out", "__pycache__")
        )
        wheel = next((home / "dist").glob("gpurent-*.whl")).name
        terminal = Terminal(folder, language)
        try:
            for step in read_steps():
                command = step.command.replace("@wheel@", wheel).replace("@driver@", driver)
                shown = terminal.type(step, command)
                said = getattr(step, language).strip()
                parts.append(f"{said}\n\n```text\n{shown}\n```\n" if said else f"```text\n{shown}\n```\n")
                print(shown, flush=True)
        finally:
            terminal.close()
    # The terminal may have wrapped it anywhere.
    shown_home = re.compile("\n?".join(map(re.escape, str(home))))
    return shown_home.sub("/home/me", "\n".join(parts))


def main() -> int:
    driver = "" if not sys.argv[1:] else f" --driver {sys.argv[1]}"
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="dist-") as name:
        dist = Path(name) / "dist"
        builder = [sys.executable, str(ROOT / "scripts" / "build_distributions.py"), str(dist)]
        subprocess.run(builder, check=True, stdout=subprocess.DEVNULL)
        for language in LANGUAGES:
            begun = time.monotonic()
            try:
                text = record(language, dist, driver)
            except DeadEndError as error:
                print(f"a newcomer cannot go on ({language}): {error}", file=sys.stderr)
                return 1
            (TARGET / f"{language}.md").write_text(text, "utf-8")
            print(f"first hour ({language}): {time.monotonic() - begun:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
