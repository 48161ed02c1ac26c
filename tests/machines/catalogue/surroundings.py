"""Machines with another user, locale, clock, terminal or umask."""

from __future__ import annotations

from tests.machines.machine import OddMachine

_TOMORROW = """#!/bin/sh
# The clock is a day ahead.
[ "$*" != +%s ] || { echo $(($(/usr/bin/date +%s) + 86400)); exit; }
exec /usr/bin/date -d '+1 day' "$@"
"""

SURROUNDINGS = (
    OddMachine(name="root", summary="the user is root", user="root"),
    OddMachine(name="locale C", summary="LC_ALL is C", variables={"LANG": "C", "LC_ALL": "C"}),
    OddMachine(
        name="locale POSIX",
        summary="LC_ALL is POSIX, and LANG empty",
        variables={"LANG": "", "LC_ALL": "POSIX"},
    ),
    OddMachine(
        name="locale missing",
        summary="LC_ALL names a locale that is not installed",
        variables={"LANG": "xx_YY.UTF-8", "LC_ALL": "xx_YY.UTF-8"},
    ),
    OddMachine(
        name="terminal unknown",
        summary="the user's terminal is one that the machine does not know",
        terminal="xterm-ghostty",
    ),
    OddMachine(
        name="umask 077", summary="new files are the user's alone", home_files={".bashrc": "umask 077\n"}
    ),
    OddMachine(
        name="clock ahead",
        summary="the clock is a day ahead",
        programs={"date": _TOMORROW},
        doctor_finds="clock-off",
    ),
    OddMachine(
        name="few files",
        summary="a process may open 32 files",
        home_files={".bashrc": "ulimit -n 32\n"},
    ),
)
