"""A share of the random inputs of `tests.security.fuzz`, and faults that they must find."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

import gpurent.domain.access
import gpurent.infra.config.project_file
import gpurent_plugin_dbcchain.wire
import gpurent_plugin_gpu1024.wire
import gpurent_plugin_imap.mail_parser
from gpurent.errors import UsageError
from tests.reliability.test_hostile_mail import SENDER
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.fuzz import FUZZ_FAMILIES, try_seed
from tests.security.fuzzing.mails import EVIL, MAILS
from tests.security.fuzzing.project_files import PROJECT_FILES
from tests.security.fuzzing.rules import FuzzFamily
from tests.security.fuzzing.service_answers import LISTINGS, NODE_ANSWERS
from tests.security.fuzzing.ssh_lines import SSH_LINES

SEED = 200  # none of the night's
LEAST_SHARE = 0.02
_ANY_LINE = r"(?:ssh )?(?:-p (?P<before>\d{1,5}) )?(?P<user>[^@]+)@(?P<host>.+?)(?: -p (?P<after>\d{1,5}))?"


def check_family(family: FuzzFamily, count: int, *read: str) -> None:
    """Try ``count`` inputs: none breaks a rule, and both sides are hit; ``read``: outcomes of inputs that were read."""
    found = try_seed(family, SEED, count)
    assert not found.breaches, "\n".join(map(str, found.breaches[:20]))
    accepted = sum(found.outcomes[one] for one in read)
    assert LEAST_SHARE * count < accepted < (1 - LEAST_SHARE) * count, found.outcomes


@attack(
    Adversary.MAIL_SENDER,
    "random messages: character sets, nested parts, HTML, forged headers (10^5 a night)",
    Outcome.REFUSED,
    kind="S2",
)
def test_random_mails() -> None:
    check_family(MAILS, 800, "access", "checked access", "code")


@attack(
    Adversary.PROVIDER,
    "random SSH commands on pages and in mails: options, look-alikes, line breaks (10^5 a night)",
    Outcome.REFUSED,
)
def test_random_ssh_lines() -> None:
    check_family(SSH_LINES, 1_000, "endpoint")


@attack(
    Adversary.REPOSITORY,
    "random project files: every key with values of every type, paths of every kind (10^5 a night)",
    Outcome.REFUSED,
    kind="S1",
)
def test_random_project_files() -> None:
    check_family(PROJECT_FILES, 1_000, "read")


@attack(
    Adversary.PROVIDER,
    "random pages and documents instead of offers, leases, bills and statements (10^5 a night)",
    Outcome.REFUSED,
)
def test_random_listings() -> None:
    check_family(
        LISTINGS, 400, "Known", "Balance", "Payment", "reserve: payable", "refresh: ready", "starting: ready"
    )


@attack(
    Adversary.CHAIN_NODE,
    "random answers of a node: other shapes, damaged storage, absurd numbers (10^5 a night)",
    Outcome.REFUSED,
    kind="S11",
)
def test_random_node_answers() -> None:
    check_family(
        NODE_ANSWERS, 250, "Known", "Balance", "Payment", "Rate", "reserve: payable", "starting: ready"
    )


def _believe_first_header(message: Any) -> str:
    return SENDER if SENDER in str(message.get("From", "")) else EVIL


class _LooseLine:
    """What a reader makes of a line who does not know the grammar."""

    @staticmethod
    def parse(line: str) -> SimpleNamespace:
        found = re.fullmatch(_ANY_LINE, line, re.DOTALL)
        if found is None:
            raise UsageError("no SSH line")
        return SimpleNamespace(user=found["user"], host=found["host"], port=found["before"] or found["after"])


FAULTS: tuple[tuple[FuzzFamily, Any, Mapping[str, Any]], ...] = (
    (MAILS, gpurent_plugin_imap.mail_parser, {"parse_sender": _believe_first_header}),
    (
        SSH_LINES,
        gpurent.domain.access,
        {"gpurent.domain.ssh_line.SshLine": _LooseLine, "_is_host": lambda host: True, "USER": "(?s:.+)"},
    ),
    (PROJECT_FILES, gpurent.infra.config.project_file, {"_check_paths": lambda field, value, home: None}),
    (LISTINGS, gpurent_plugin_gpu1024.wire, {"parse_number": lambda value, source: Decimal(value)}),
    (NODE_ANSWERS, gpurent_plugin_dbcchain.wire, {"parse_storage": lambda raw: dict(raw[0]["changes"])}),
)


@pytest.mark.parametrize(
    ("family", "module", "faults"), FAULTS, ids=lambda one: getattr(one, "__name__", None)
)
def test_a_fault_is_found(
    family: FuzzFamily, module: Any, faults: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, fault in faults.items():
        if "." in name:
            monkeypatch.setattr(name, fault)
        else:
            monkeypatch.setattr(module, name, fault)
    assert any(try_seed(family, seed, 100).breaches for seed in range(SEED, SEED + 20))


def test_every_kind_is_tried() -> None:
    assert set(FUZZ_FAMILIES) == {MAILS, SSH_LINES, PROJECT_FILES, LISTINGS, NODE_ANSWERS}


def test_an_input_is_the_same_again() -> None:
    first, again = (try_seed(SSH_LINES, SEED, 200).outcomes for _time in range(2))
    assert first == again
