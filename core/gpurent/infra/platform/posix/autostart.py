"""How the guard starts automatically: a systemd user unit, a launchd agent, or a cron line.

Makes only the texts and their paths. No secret is ever written into them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from gpurent.child_processes import FOLDER

LAUNCHD_LABEL = "gpurent.watch"
SYSTEMD_UNIT = "gpurent-watch"
CRON_MARK = "# gpurent watch"
INTERVAL_MINUTES = 5
# The environment variables that the guard needs; never a passphrase or a password.
KEPT_VARIABLES = (
    "GPURENT_HOME",
    "GPURENT_CLOCK",
    "GPURENT_SAFE",
    "GPURENT_SANDBOX",
    "XDG_DATA_HOME",
    "GPURENT_STATE_HOME",
    "XDG_STATE_HOME",
    "LANG",
)


@frozen(kw_only=True)
class AutostartProgram:
    """How to start the guard: its command, the environment that it needs, and its log file.

    Its working folder is the root folder: nothing that lies elsewhere is looked for there.
    """

    program: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path


def select_environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: environment[name] for name in KEPT_VARIABLES if environment.get(name)}


def make_systemd_service(start: AutostartProgram) -> Mapping[str, str]:
    """Return a service that runs continuously."""
    return {
        f"{SYSTEMD_UNIT}.service": _format_service(start, "simple", ())
        + "\n[Install]\nWantedBy=default.target\n"
    }


def make_systemd_timer(start: AutostartProgram) -> Mapping[str, str]:
    """Return a timer that checks every few minutes, also after the computer was asleep."""
    timer = (
        "[Unit]\nDescription=gpurent guards rented machines\n\n"
        f"[Timer]\nOnCalendar=*:0/{INTERVAL_MINUTES}\nPersistent=true\nAccuracySec=10s\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    return {
        f"{SYSTEMD_UNIT}.service": _format_service(start, "oneshot", ("--once",)),
        f"{SYSTEMD_UNIT}.timer": timer,
    }


def _format_service(start: AutostartProgram, kind: str, more: Sequence[str]) -> str:
    lines = ["[Unit]", "Description=gpurent guards rented machines", ""]
    lines += ["[Service]", f"Type={kind}"]
    words = [_quote_unit_word(word.replace("$", "$$")) for word in (*start.program, *more)]
    lines += [f"WorkingDirectory={FOLDER}", "ExecStart=" + " ".join(words)]
    for name, value in start.environment.items():
        lines.append("Environment=" + _quote_unit_word(f"{name}={value}"))
    if kind == "simple":
        lines += ["Restart=always", "RestartSec=30"]
    lines += ["UMask=0077", "NoNewPrivileges=true", ""]
    return "\n".join(lines)


def _quote_unit_word(word: str) -> str:
    """Quote a word for a unit file and escape specifiers; variables are expanded only in commands."""
    text = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{text}"' if re.search(r"[^\w@%+=:,./-]", word) else text


def make_launchd_agent(start: AutostartProgram) -> Mapping[str, str]:
    """Return an agent that runs as long as the user is logged in."""
    import plistlib  # loads an XML parser

    agent = {
        "Label": LAUNCHD_LABEL,
        "ProgramArguments": list(start.program),
        "EnvironmentVariables": dict(start.environment),
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 30,
        "Umask": 0o077,
        "WorkingDirectory": FOLDER,
        "StandardErrorPath": str(start.log),
        "StandardOutPath": str(start.log),
    }
    return {f"{LAUNCHD_LABEL}.plist": plistlib.dumps(agent).decode()}


def make_cron_line(start: AutostartProgram) -> str:
    """Return the line for the user's crontab; ``%`` means a newline there, so it is escaped."""
    words = [f"{name}={shlex.quote(value)}" for name, value in start.environment.items()]
    words += [shlex.quote(word) for word in (*start.program, "--once")]
    line = f"cd {FOLDER} && " + " ".join(words) + f" >>{shlex.quote(str(start.log))} 2>&1"
    return f"*/{INTERVAL_MINUTES} * * * * {line.replace('%', chr(92) + '%')} {CRON_MARK}\n"


def replace_cron_line(table: str, line: str) -> str:
    """Return the crontab ``table`` with our line in it once; without our line if ``line`` is empty."""
    others = "".join(f"{row}\n" for row in table.splitlines() if not row.endswith(CRON_MARK))
    return others + line


def unit_folder(kind: str, home: Path, environment: Mapping[str, str]) -> Path:
    if kind == "launchd":
        return home / "Library" / "LaunchAgents"
    config = environment.get("XDG_CONFIG_HOME", "")
    return (Path(config) if config else home / ".config") / "systemd" / "user"
