"""The strict grammar of an SSH command: text from a mail never becomes an option of a program."""

from __future__ import annotations

import shlex
from random import Random
from time import perf_counter

import pytest
from hypothesis import given, settings, strategies as st

from gpurent.domain.access import Endpoint, is_loopback
from gpurent.errors import UsageError

LABEL = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,10}[A-Za-z0-9])?", fullmatch=True).filter(
    lambda text: not text.isdigit()
)
HOSTS = st.one_of(
    st.lists(LABEL, min_size=1, max_size=4).map(".".join),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{str(address).partition('%')[0]}]"),
)
ENDPOINTS = st.builds(
    Endpoint, st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", fullmatch=True), HOSTS, st.integers(1, 65535)
)


@given(ENDPOINTS)
def test_round_trip(endpoint: Endpoint) -> None:
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert shlex.split(str(endpoint))[1] == f"{endpoint.user}@{endpoint.host}"


@pytest.mark.parametrize(
    ("line", "endpoint"),
    [
        ("ssh mist@gpu3.example.com -p 10322", Endpoint("mist", "gpu3.example.com", 10322)),
        ("ssh -p 20022 root@47.92.1.2", Endpoint("root", "47.92.1.2", 20022)),
        ("root@host", Endpoint("root", "host", 22)),
        ("  ssh   root@host   -p   00022\t", Endpoint("root", "host", 22)),
        ("ssh root@[::1] -p 22", Endpoint("root", "[::1]", 22)),
        ("ssh root@[2001:db8::7:1] -p 1", Endpoint("root", "[2001:db8::7:1]", 1)),
        ("ssh root@[::ffff:10.0.0.1]", Endpoint("root", "[::ffff:10.0.0.1]")),
        ("root@hostX -p 65535", Endpoint("root", "hostX", 65535)),
        ("root@hostX", Endpoint("root", "hostX", 22)),
        ("ssh root@host -p42001", Endpoint("root", "host", 42001)),
        (
            "ssh -p 40021 root@ssh5.example.com -L 8080:localhost:8080",
            Endpoint("root", "ssh5.example.com", 40021),
        ),
        ("ssh -CNg -L 6006:127.0.0.1:6006 root@host -p 1", Endpoint("root", "host", 1)),
        (
            "ssh 4f3a2b-64410b1a@ssh.example.io -i ~/.ssh/id_ed25519",
            Endpoint("4f3a2b-64410b1a", "ssh.example.io"),
        ),
        ('ssh -i "C:\\my keys\\a.pem" ubuntu@10.0.0.1', Endpoint("ubuntu", "10.0.0.1")),
        (
            "ssh -o StrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null root@host",
            Endpoint("root", "host"),
        ),
        ("ssh -l root host", Endpoint("root", "host")),
        ("ssh://root@host:2222", Endpoint("root", "host", 2222)),
        ("ssh ssh://root@[::1]:2222/", Endpoint("root", "[::1]", 2222)),
        ("ssh root@gpu_3.example.com", Endpoint("root", "gpu_3.example.com")),
        ("ssh\u00a0root@host\u00a0\u2013p\u00a042001", Endpoint("root", "host", 42001)),
        ("ssh root@gpu\u201128 \u2212p 7", Endpoint("root", "gpu-28", 7)),
        ("$ ssh root@host -p 7", Endpoint("root", "host", 7)),
        ("# ssh root@host", Endpoint("root", "host")),
        ("`ssh root@host -p 7`", Endpoint("root", "host", 7)),
        ("SSH root@host", Endpoint("root", "host")),
        ("ssh.exe root@host", Endpoint("root", "host")),
    ],
)
def test_usual_ssh_lines(line: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(line) == endpoint


def test_a_socket_gets_the_address_without_brackets() -> None:
    assert Endpoint("root", "[2001:db8::1]").address == "2001:db8::1"
    assert Endpoint("root", "10.0.0.1").address == "10.0.0.1"


def test_how_long_a_name_may_be() -> None:
    longest = ".".join("a" * length for length in (63, 63, 63, 61))
    assert Endpoint("root", longest).host == longest
    with pytest.raises(UsageError, match="invalid host name or address"):
        Endpoint("root", f"{longest}a")


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("gpu3.example.com", False),
        ("LOCALHOST.example.com", False),
    ],
)
def test_which_hosts_are_this_computer(host: str, own: bool) -> None:
    assert is_loopback(host) is own


HOSTILE = {
    "empty": "",
    "blank": "   ",
    "no user": "ssh host -p 22",
    "full-width @": "ssh root\uff20host -p 22",
    "full-width digits": "ssh root@host -p \uff12\uff12",
    "full-width dot": "ssh root@host\uff0ecom -p 22",
    "arabic digits": "ssh root@host -p \u0662\u0662",
    "zero-width": "ssh root@ho\u200bst -p 22",
    "byte order mark": "\ufeffssh root@host -p 22",
    "soft hyphen": "ssh root@ho\u00adst",
    "line separator": "ssh root@host\u2028-p 22",
    "cyrillic": "ssh r\u043eot@host",
    "right-to-left": "ssh root@\u202etsoh",
    "leading dash in user": "ssh -oProxyCommand=x@host",
    "leading dash in host": "ssh root@-oProxyCommand=id",
    "dash alone": "ssh root@-",
    "trailing dash": "ssh root@host-",
    "look-alike option": "ssh root@host \u2013oProxyCommand=id",
    "look-alike in a user": "ssh \u2013oProxyCommand=x@host",
    "glued option": "ssh -CoProxyCommand=id root@host",
    "quoted option": 'ssh "-oProxyCommand=id" root@host',
    "quoted value": 'ssh -o "ProxyCommand id" root@host',
    "another host by a setting": "ssh -o Hostname=evil root@host",
    "value that is an option": "ssh -i -oProxyCommand=id root@host",
    "jump": "ssh -J root@evil root@host",
    "forwarded input": "ssh -W evil:22 root@host",
    "configuration": "ssh -F /tmp/config root@host",
    "library": "ssh -I /tmp/evil.so root@host",
    "two users": "ssh -l root evil@host",
    "end of options": "ssh -- root@host",
    "url with a command": "ssh://root@host:22/;id",
    "url with an option": "ssh://-oProxyCommand=id",
    "url with two ports": "ssh -p 1 ssh://root@host:2",
    "prompt alone": "$ ",
    "odd prompt": "$$ ssh root@host",
    "option before": "ssh -o ProxyCommand=id root@host -p 22",
    "option after": "ssh root@host -p 22 -o ProxyCommand=id",
    "option as port": "ssh root@host -p -oProxyCommand=id",
    "command after": "ssh root@host -p 22 reboot",
    "semicolon": "ssh root@host;id -p 22",
    "substitution": "ssh root@$(id) -p 22",
    "backtick": "ssh root@`id`",
    "pipe": "ssh root@host|id",
    "quote": "ssh 'root'@host",
    "newline": "ssh root@host -p 22\nssh root@evil -p 22",
    "trailing newline": "ssh root@host -p 22\n",
    "carriage return": "ssh root@host\r -p 22",
    "nul": "ssh root@host\0 -p 22",
    "escape": "ssh root@\x1b[2Jhost",
    "two hosts": "ssh root@a@b -p 22",
    "password in user": "ssh root:secret@host",
    "percent": "ssh root@%h",
    "slash": "ssh root@host/../etc",
    "port 0": "ssh root@host -p 0",
    "port too high": "ssh root@host -p 65536",
    "port huge": "ssh root@host -p 999999",
    "port negative": "ssh root@host -p -22",
    "port twice": "ssh -p 22 root@host -p 22",
    "port with colon": "ssh root@host:22",
    "empty label": "ssh root@a..b",
    "trailing dot": "ssh root@a.b.",
    "octet too high": "ssh root@256.1.1.1",
    "octal octet": "ssh root@010.0.0.1",
    "short address": "ssh root@10.1",
    "number": "ssh root@2130706433",
    "bare ipv6": "ssh root@::1 -p 22",
    "broken ipv6": "ssh root@[:::1]",
    "ipv6 zone": "ssh root@[fe80::1%eth0]",
    "ipv6 unclosed": "ssh root@[::1 -p 22",
    "user too long": f"ssh {'u' * 65}@host",
    "label too long": f"ssh root@{'a' * 64}",
    "name too long": f"ssh root@{'.'.join(['a' * 60] * 5)}",
}


@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
def test_everything_else_is_refused(line: str) -> None:
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(line)
    assert len(caught.value.message) < 400
    assert caught.value.message.isprintable(), "a hostile line must not move the reader's cursor"


@pytest.mark.parametrize(
    ("user", "host", "port"),
    [("-l", "host", 22), ("root", "-oX", 22), ("root", "host", 0), ("root", "host", 65536), ("ro ot", "host", 22),
     ("root", "ho\nst", 22), ("root\n", "host", 22), ("root", "\uff11\uff10.0.0.1", 22),
     ("", "host", 22), ("root", "", 22)],
)  # fmt: skip
def test_constructor_is_as_strict_as_the_parser(user: str, host: str, port: int) -> None:
    with pytest.raises(UsageError):
        Endpoint(user, host, port)


def test_a_very_long_line_is_refused_quickly() -> None:
    started = perf_counter()
    for line in ("ssh root@" + "a-" * 200_000, "ssh root@" + "a." * 200_000, " " * 400_000, "1" * 400_000):
        with pytest.raises(UsageError):
            Endpoint.parse(line)
    assert perf_counter() - started < 5


# What a mail or a page may hide in a line: look-alikes, invisible characters, options, line breaks.
_TRICKS = [
    *(
        "-oProxyCommand=id",
        " -oProxyCommand=id ",
        " -o ProxyCommand=id",
        "-F/dev/null",
        "-lroot",
        "--",
        "- p",
    ),
    *("\uff53\uff53\uff48", "\uff0d", "\uff10", "\uff0e", "\u3000", "\u3002", "\uff1a", "\u2013", "\u2212"),
    *("\u200b", "\u200d", "\u200e", "\u202e", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\U000e0020"),
    *("\r", "\n", "\r\n", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\0", "\x1b[2J", "\x7f"),
    *(
        "$(reboot)",
        "`id`",
        "|sh",
        "&&id",
        "%h",
        "~",
        "*",
        "{a,b}",
        "\\",
        '"',
        "#",
        "\u0430",
        "\u0131",
        "\u017f",
    ),
]

_PIECES = [
    *("ssh", "ssh ", " ", "\t", "-p", " -p ", "22", "0", "65536", "root", "@", "host", "10.0.0.1", "[::1]"),
    *("[", "]", "-", "-o", ".", ":", "\n", "\0", "\u200b", "\uff20", "\uff12", "%", "$(id)", ";", "'", "_"),
    *("a-b", "::", "A" * 70),
]


def _parse_random_lines(rounds: int, seed: int) -> int:
    """Try random lines; any accepted line round-trips and contains nothing that a shell or ssh would act on."""
    random = Random(seed)
    accepted = 0
    for _ in range(rounds):
        if random.random() < 0.5:
            line = f"ssh root@host{random.choice(['', ' -p 22'])}"
            position = random.randrange(len(line) + 1)
            line = line[:position] + random.choice(_PIECES) + line[position + random.randrange(2) :]
        else:
            line = "".join(random.choices(_PIECES, k=random.randint(1, 9)))
        try:
            found = Endpoint.parse(line)
        except UsageError:
            continue
        accepted += 1
        assert Endpoint.parse(str(found)) == found
        assert found.address.strip("[]") == found.address
        for part in (found.user, found.address):
            assert part[0] != "-"
            assert set(part) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-:")
        assert shlex.quote(found.user) == found.user
        assert 1 <= found.port <= 65535
    return accepted


def _parse_tricked_lines(rounds: int, seed: int) -> tuple[int, int]:
    """Insert one to three tricks anywhere in good lines: refused, or exactly the host and user that a reader sees.

    Return ``(accepted, refused)``. The host that is connected to is the text after the only ``@``.
    """
    random = Random(seed)
    accepted = refused = 0
    for _ in range(rounds):
        user, host = (
            random.choice(("root", "mist", "_u-1")),
            random.choice(("gpu28.example.com", "47.92.1.2", "[::1]")),
        )
        line = random.choice((f"ssh {user}@{host} -p 10000", f"ssh -p 10000 {user}@{host}", f"{user}@{host}"))
        for _attempt in range(random.randrange(4)):
            position = random.randrange(len(line) + 1)
            line = line[:position] + random.choice(_TRICKS) + line[position + random.randrange(3) :]
        try:
            found = Endpoint.parse(line)
        except UsageError:
            refused += 1
            continue
        accepted += 1
        seen = line.replace("\t", " ").translate({0x2010: "-", 0x2011: "-"})
        assert seen.isprintable() or "\u3000" in seen
        if "ssh://" not in seen and "-l" not in seen:
            before, _at, after = seen.partition("@")
            assert before.split()[-1] == found.user
            assert after.split()[0] == found.host
        argv = ["ssh", "-p", str(found.port), f"{found.user}@{found.host}"]
        assert shlex.split(shlex.join(argv)) == argv
        assert not argv[-1].startswith("-")
        assert "proxycommand=" not in " ".join(argv).lower()  # the word alone may be part of a host name
    return accepted, refused


def test_ten_thousand_random_lines() -> None:
    accepted = _parse_random_lines(10_000, seed=1)
    assert 500 < accepted < 9_500, "the generator must hit both sides"


def test_fifteen_thousand_lines_with_tricks() -> None:
    accepted, refused = _parse_tricked_lines(15_000, seed=12)
    assert min(accepted, refused) > 3_000, "the generator must hit both sides"


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(2, 12))
def test_a_million_random_lines(seed: int) -> None:
    assert _parse_random_lines(50_000, seed) > 2_500
    accepted, refused = _parse_tricked_lines(50_000, seed)
    assert min(accepted, refused) > 10_000


@settings(max_examples=500)
@given(st.text(max_size=60))
def test_any_text_is_either_an_endpoint_or_a_usage_error(text: str) -> None:
    try:
        found = Endpoint.parse(text)
    except UsageError:
        return
    assert Endpoint.parse(str(found)) == found
