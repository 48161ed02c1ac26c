"""The project file `gpurent.toml`: its keys, what each may hold, and what it means for a trip. Reads no file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from attrs import Attribute, field, fields, frozen

from gpurent.domain.events import EventKind
from gpurent.domain.money import Money
from gpurent.domain.trip import OnError
from gpurent.locale import N_

FILE = "gpurent.toml"


class Kind(Enum):
    """What a key holds in the file."""

    TEXT = "text"
    WORDS = "words"
    TEXTS = "texts"
    PATH = "path"
    PATHS = "paths"
    PACKAGES = "packages"
    SPAN = "span"
    MOMENT = "moment"
    MONEY = "money"
    NUMBER = "number"
    PERCENT = "percent"
    FLAG = "flag"


@frozen(kw_only=True)
class Key:
    """``about`` is one line for people; ``example`` the value as TOML has it; ``choices``: nothing else is allowed."""

    kind: Kind
    about: str
    example: str
    choices: tuple[str, ...] = ()
    least: int = 0


# Never worth a message: there are too many of them.
EVENTS = tuple(
    kind.value
    for kind in EventKind
    if kind not in (EventKind.PROGRESS, EventKind.JOB_OUTPUT, EventKind.STEP_BEGUN, EventKind.STEP_DONE)
)


def _key(kind: Kind, about: str, example: str, default: Any = None, **more: Any) -> Any:
    return field(default=default, metadata={"key": Key(kind=kind, about=about, example=example, **more)})


def _table(about: str, kind: type[Any]) -> Any:
    return field(factory=kind, metadata={"table": about})


@frozen(kw_only=True)
class GpuWishes:
    """``memory``, ``cpus`` and ``ram``: at least so much; a machine of which the shop does not say it does not fit."""

    name: str = _key(Kind.TEXT, N_("A part of the GPU's name"), '"2080Ti"', "")
    count: int = _key(Kind.NUMBER, N_("How many GPUs"), "1", 1, least=1)
    memory: int = _key(Kind.NUMBER, N_("Memory of one GPU, in GiB, at least"), "11", 0)
    cpus: int = _key(Kind.NUMBER, N_("Processor cores, at least"), "4", 0)
    ram: int = _key(Kind.NUMBER, N_("Memory of the machine, in GiB, at least"), "16", 0)
    machine: str = _key(Kind.TEXT, N_("Just this machine, by the shop's own name of it"), '"7"', "")


@frozen(kw_only=True)
class Setup:
    """What makes the machine ready, before the job, once: conda, then pip, then the commands."""

    conda: str = _key(
        Kind.PATH, N_("An environment file; the job runs in that environment"), '"environment.yml"', ""
    )
    pip: str | tuple[str, ...] = _key(
        Kind.PACKAGES, N_("A requirements file, or a list of packages"), '"requirements.txt"', ""
    )
    commands: tuple[str, ...] = _key(
        Kind.TEXTS, N_("Shell commands, run in the job's folder"), '["make -C native"]', ()
    )
    needs: tuple[str, ...] | None = _key(
        Kind.PATHS, N_("Files that the setup needs: it runs while the rest goes up"), '["native"]'
    )


@frozen(kw_only=True)
class GuardRules:
    """As ``[guard]`` in config.toml, for this trip only; a program that pays stands there and not here."""

    idle: timedelta | None = _key(Kind.SPAN, N_("Release the machine when it idled so long"), '"1h"')
    idle_load: int | None = _key(Kind.PERCENT, N_("Up to so much GPU load is idle, in percent"), "5")
    after_job: timedelta | None = _key(
        Kind.SPAN, N_("The machine shuts itself so long after the job's end"), '"30m"'
    )
    timer: timedelta | None = _key(
        Kind.SPAN, N_("The machine shuts itself when nobody watched for so long"), '"4h"'
    )
    save_before: timedelta | None = _key(
        Kind.SPAN, N_("Results come home so long before the machine's end"), '"20m"'
    )


@frozen(kw_only=True)
class NotifyRules:
    """As ``[notify]`` in config.toml, for this trip only; addresses and keys stand there and not here."""

    events: tuple[str, ...] | None = _key(
        Kind.TEXTS, N_("Which events are told"), '["job-ended", "failed", "time-low"]', choices=EVENTS
    )


@frozen(kw_only=True)
class Project:
    """A project file. Texts of it that are paths are relative to ``folder``, where it lies."""

    command: tuple[str, ...] = _key(
        Kind.WORDS,
        N_("The job: a shell line, or a list of words"),
        '["python3", "train.py", "--epochs", "20"]',
        (),
    )
    inputs: tuple[str, ...] = _key(
        Kind.PATHS, N_("Files and folders that go up; else the whole folder"), '["train.py", "data"]', ()
    )
    outputs: tuple[str, ...] = _key(Kind.PATHS, N_("Files and folders that come home"), '["out"]', ())
    home: str = _key(Kind.PATH, N_("Where results go, if not to this folder"), '"results"', "")
    name: str = _key(Kind.TEXT, N_("The session's name"), '"digits"', "")
    providers: tuple[str, ...] = _key(
        Kind.TEXTS,
        N_("Where to rent: the first that has something fitting"),
        '["first-shop", "second-shop"]',
        (),
    )
    term: timedelta | None = _key(Kind.SPAN, N_("For how long"), '"1d"')
    budget: Money | None = _key(Kind.MONEY, N_("The most that the trip may cost"), '"200CNY"')
    deadline: timedelta | datetime | None = _key(
        Kind.MOMENT, N_("When the machine goes at the latest: a time, or a span from its start"), '"20h"'
    )
    disk: int = _key(Kind.NUMBER, N_("Disk to buy, in GiB"), "100", 0)
    staged: bool | None = _key(Kind.FLAG, N_("Upload on a cheaper machine first, where there is one"), "true")
    session: str = _key(Kind.TEXT, N_("What keeps the job: screen, tmux, …"), '"NAME"', "")
    transfer: str = _key(Kind.TEXT, N_("What carries the files"), '"NAME"', "")
    launcher: str = _key(Kind.TEXT, N_("What turns the command into a process"), '"plain"', "")
    keep: bool | None = _key(Kind.FLAG, N_("Keep the machine when the job has ended"), "false")
    on_error: str = _key(
        Kind.TEXT,
        N_("What becomes of the machine when the trip fails"),
        '"release"',
        "",
        choices=tuple(item.value for item in OnError),
    )
    gpu: GpuWishes = _table(N_("What machine is wanted"), GpuWishes)
    setup: Setup = _table(N_("What makes the machine ready, once, before the job"), Setup)
    guard: GuardRules = _table(N_("Who stops the machine when nobody does"), GuardRules)
    notify: NotifyRules = _table(N_("What you are told when you are away"), NotifyRules)
    folder: str = "."


def keys(kind: type[Any] = Project) -> Mapping[str, Key]:
    """The keys of one table of the file, in order."""
    return {item.name: item.metadata["key"] for item in _fields(kind) if "key" in item.metadata}


def tables() -> Mapping[str, tuple[str, type[Any]]]:
    """The tables of the file: what each is about, and its class."""
    found = {}
    for item in _fields(Project):
        if "table" in item.metadata:
            found[item.name] = (item.metadata["table"], type(getattr(_EMPTY, item.name)))
    return found


def _fields(kind: type[Any]) -> tuple[Attribute[Any], ...]:
    found: tuple[Attribute[Any], ...] = fields(kind)
    return found


_EMPTY = Project()
