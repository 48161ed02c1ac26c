"""The guard as a task of Windows' Task Scheduler. Makes only the text; no secret is ever written into it."""

from __future__ import annotations

import ntpath
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PureWindowsPath

TASK_NAME = "gpurent watch"
INTERVAL_MINUTES = 5
# `pythonw` has no console, so that no window appears every five minutes; it has no output either.
_STARTER = (
    "import os, runpy, sys; home, log, *rest = sys.argv[1:];"
    " [os.environ.__setitem__(*pair.split('=', 1)) for pair in rest];"
    " os.environ['GPURENT_HOME'] = home;"
    " sys.stdout = sys.stderr = open(log, 'a', encoding='utf-8', errors='replace', buffering=1);"
    " sys.argv = ['gpurent', '--no-input', 'watch', '--once'];"
    " runpy.run_module('gpurent', run_name='__main__', alter_sys=True)"
)


def make_task(python: Sequence[str], home: str, log: Path, environment: Mapping[str, str], user: str) -> str:
    """Return the task as Task Scheduler reads it.

    ``python``: the interpreter and its flags. ``user``: the SID of the account for which it runs, while that is logged
    on. It runs every five minutes, on batteries too, soon after a time that was missed, and never twice at once.
    """
    program, *flags = python
    words = [*flags, "-c", _STARTER, home, str(log)]
    words += [f"{name}={value}" for name, value in environment.items() if name != "GPURENT_HOME"]
    return (
        '<?xml version="1.0" encoding="UTF-16"?>\n'
        '<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">\n'
        "  <RegistrationInfo>\n    <Description>gpurent guards rented machines</Description>\n"
        f"    <URI>\\{TASK_NAME}</URI>\n  </RegistrationInfo>\n"
        "  <Triggers>\n"
        + make_trigger("LogonTrigger", f"      <UserId>{_escape(user)}</UserId>\n")
        + make_trigger("TimeTrigger", "      <StartBoundary>2020-01-01T00:00:00</StartBoundary>\n")
        + "  </Triggers>\n"
        '  <Principals>\n    <Principal id="Author">\n'
        f"      <UserId>{_escape(user)}</UserId>\n      <LogonType>InteractiveToken</LogonType>\n"
        "      <RunLevel>LeastPrivilege</RunLevel>\n    </Principal>\n  </Principals>\n"
        "  <Settings>\n"
        "    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>\n"
        "    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>\n"
        "    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>\n"
        "    <StartWhenAvailable>true</StartWhenAvailable>\n"
        "    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>\n"
        "    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>\n"
        "    <Enabled>true</Enabled>\n  </Settings>\n"
        '  <Actions Context="Author">\n    <Exec>\n'
        f"      <Command>{_escape(find_windowless(program))}</Command>\n"
        f"      <Arguments>{_escape(join_arguments(words))}</Arguments>\n"
        f"      <WorkingDirectory>{_escape(ntpath.dirname(program))}</WorkingDirectory>\n"
        "    </Exec>\n  </Actions>\n</Task>\n"
    )


def make_trigger(kind: str, more: str) -> str:
    """Return a trigger that goes on every few minutes, for ever."""
    return (
        f"    <{kind}>\n"
        f"      <Repetition>\n        <Interval>PT{INTERVAL_MINUTES}M</Interval>\n"
        "        <StopAtDurationEnd>false</StopAtDurationEnd>\n      </Repetition>\n"
        f"{more if kind == 'TimeTrigger' else ''}      <Enabled>true</Enabled>\n"
        f"{more if kind != 'TimeTrigger' else ''}    </{kind}>\n"
    )


def find_windowless(python: str) -> str:
    """Return the interpreter that opens no window, beside ``python``."""
    path = PureWindowsPath(python)
    return str(path.with_name("pythonw.exe")) if path.name.lower() == "python.exe" else python


def join_arguments(words: Sequence[str]) -> str:
    """Return ``words`` as one command line, as programs on Windows take it apart again."""
    return " ".join(_quote(word) for word in words)


def _quote(word: str) -> str:
    """Quote a word: backslashes count as themselves but before a quote, where each is written twice."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', word)
    if word and " " not in word and "\t" not in word:
        return text
    return f'"{text}{_trailing_backslashes(text)}"'


def _trailing_backslashes(text: str) -> str:
    return "\\" * (len(text) - len(text.rstrip("\\")))


def _escape(text: str) -> str:
    from xml.sax.saxutils import escape

    return escape(text, {'"': "&quot;"})
