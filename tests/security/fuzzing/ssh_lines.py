"""SSH lines as providers print and mail them, and what is dialled and exported with what they yield.

A line is refused, or yields exactly the user, host and port that a reader sees, which no program takes for an option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from attrs import frozen

from gpurent.api import Endpoint, ExportedLease, Mail
from gpurent.errors import GpurentError
from gpurent.roles.entries import ExporterEntry
from gpurent.terminal_text import strip_to_line
from gpurent.testing.fakes import FakePluginContext
from gpurent.testing.sandbox_harness import installed_plugins
from gpurent_plugin_mistgpu import wire
from gpurent_plugin_turbo.near.connection.ssh_process import make_ssh_arguments
from plugins.mistgpu.tests.test_mistgpu_wire import SERVERS, URL
from tests.reliability.test_hostile_mail import SENDER, SENT_AT, make_provider
from tests.security.fuzzing.mutators import change_text
from tests.security.fuzzing.rules import FuzzFamily, is_clean, require

HOSTS = (
    "gpu28.example.com",
    "47.92.1.2",
    "[::1]",
    "[2001:db8::7]",
    "h",
    "127.0.0.1",
    "xn--fiq228c.example",
    "a_b.example",
)
USERS = ("root", "mist", "_u-1", "4f3a2b-64410b1a")
FORMS = (
    *("ssh {user}@{host} -p {port}", "ssh -p {port} {user}@{host}", "{user}@{host}", "ssh {user}@{host}"),
    *("ssh -p{port} {user}@{host} -L 8080:localhost:8080", "$ ssh -i ~/.ssh/id {user}@{host} -p {port}"),
    *("ssh://{user}@{host}:{port}", "ssh\u00a0{user}@{host}\u00a0\u2013p {port}"),
    *("ssh -o StrictHostKeyChecking=no {user}@{host}", "ssh -CNg -l {user} {host}"),
)
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*|[0-9A-Fa-f:.]+")


@frozen
class _Connection:
    """What the command line of ssh is built from."""

    endpoint: Endpoint
    key_file: str = "/k/key"
    known_hosts: str = "/k/known"


def make_line(random: Random) -> str:
    line = random.choice(FORMS).format(
        user=random.choice(USERS), host=random.choice(HOSTS), port=random.choice((22, 10322, 0, 65535, 65536))
    )
    return change_text(random, line, most=2) if random.random() < 0.85 else line


def read_as_typed(line: str) -> Endpoint | None:
    return Endpoint.parse(line)


def read_from_page(line: str) -> Endpoint | None:
    page = SERVERS.replace("ssh mist@gpu28.mistgpu.com -p 10000", line)
    (server,) = wire.parse_servers(page, URL)
    return server.endpoint


def make_mail_reader() -> Callable[[str], Endpoint | None]:
    provider = make_provider()

    def read_from_mail(line: str) -> Endpoint | None:
        text = f"您的容器已经就绪：\n{line}，密码：Xy7-secret\n"
        access = provider.parse_access(
            Mail(uid="1", at=SENT_AT, sender=SENDER, subject="登录方式 5d42e162", text=text)
        )
        return access.endpoint if access is not None else None

    return read_from_mail


def list_words(endpoint: Endpoint) -> Iterator[tuple[str, str]]:
    """Yield what is put on command lines, with the place."""
    yield "user", endpoint.user
    yield "host", endpoint.address
    yield "port", str(endpoint.port)


def check_endpoint(line: str, endpoint: Endpoint) -> None:
    """Check that ``endpoint`` is what a reader of the line sees, and no option for anybody."""
    for place, word in list_words(endpoint):
        require(_SAFE.fullmatch(word), f"{place} {word!r} from {line!r}")
    seen = strip_to_line(line).translate({0x2010: "-", 0x2011: "-"})
    by_option = re.search(rf"-\w*l\s*{re.escape(endpoint.user)}(\s|$)", seen) and endpoint.host in seen
    require(f"{endpoint.user}@{endpoint.host}" in seen or by_option, f"{endpoint} is not in {line!r}")
    require(Endpoint.parse(str(endpoint)) == endpoint, f"{endpoint} does not come back")
    connection: Any = _Connection(endpoint)
    words = make_ssh_arguments(connection, {})
    end = words.index("--")
    require(words[end:] == ["--", endpoint.address], f"ssh is called with {words[end:]}")
    require(words[words.index("-l") + 1] == endpoint.user, f"ssh is called with {words}")
    require(not any("proxycommand" in word.lower() for word in words[:end]), f"ssh is called with {words}")


def check_exports(endpoint: Endpoint, exporters: list[Any]) -> None:
    """Check that no profile for another program has more lines than that of a usual address has, or a control."""
    usual = ExportedLease(
        name="m-1", endpoint=Endpoint("root", "h", 22), key_file=Path("/k/key"), known_hosts=Path("/k/known")
    )
    one = ExportedLease(name="m-1", endpoint=endpoint, key_file=usual.key_file, known_hosts=usual.known_hosts)
    for exporter in exporters:
        try:
            text, other = (exporter.export_leases([lease]).text for lease in (one, usual))
        except GpurentError:
            continue  # a format without IPv6, for example
        require(len(text.splitlines()) == len(other.splitlines()), f"{endpoint} adds lines to {text!r}")
        require(is_clean(text.replace("\t", "")), f"{endpoint} in {text!r}")


def open_cases() -> Callable[[Random], str]:
    entries = installed_plugins().get_entries(ExporterEntry).values()
    exporters = [entry.build(FakePluginContext(entry)) for entry in entries]
    ways = (read_as_typed, read_from_page, make_mail_reader())

    def try_case(random: Random) -> str:
        line = make_line(random)
        endpoint = random.choice(ways)(line)
        if endpoint is None:
            return "no access"
        check_endpoint(line, endpoint)
        check_exports(endpoint, exporters)
        return "endpoint"

    return try_case


SSH_LINES = FuzzFamily(
    name="ssh-lines",
    summary="SSH commands: typed, on a page, in a mail; then what ssh and other programs are given",
    open_cases=open_cases,
)
