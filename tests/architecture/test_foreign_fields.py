"""Each text of a value that providers, machines, mails, plugins or repositories fill is cleaned when it is made."""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import attrs
import pytest
from attrs import field, frozen

import gpurent.domain
import gpurent.ports
import gpurent.roles
from gpurent.terminal_text import ForeignLines, ForeignText, to_foreign_map, to_foreign_texts

CLEANING = (ForeignText, ForeignLines, to_foreign_texts, to_foreign_map)
# Texts that are kept exactly as they are, by the reason. A class alone: all of its texts.
OURS = "made by gpurent, or typed by the user"
EXACT = "names a file, or is run: kept exact, and shown by `escape_path` or as JSON has it"
CHECKED = "of a strict format, which its validator checks"
MARKED = "its converter marks hidden characters, and cleans the rest as the type does"
RAW = "raw data for a parser; what is shown of it is `CommandResult.said`"
OPAQUE = "the plugin's own data, which is never shown as text"
HERE = "not of the product: simulators of the sandbox"
PLAIN: dict[str, str] = {
    "Endpoint": CHECKED,
    "SshLine": CHECKED,
    "ShellStream.line": EXACT,
    "TerminalLine.line": EXACT,
    "DoorRun.line": EXACT,
    "Currency.code": CHECKED,
    "TripOutcome.reason": CHECKED,
    "InputField.name": CHECKED,
    "PluginEntry.name": CHECKED,
    "ExportedLease": CHECKED,
    "BillingEntry.currency": CHECKED,
    "CommandResult": RAW,
    "Offer.provider_data": OPAQUE,
    "Lease.provider_data": OPAQUE,
    "LeaseCopy.provider_data": OPAQUE,
    "Volume.provider_data": OPAQUE,
    "VolumeOffer.provider_data": OPAQUE,
    "Challenge.pattern": "a regular expression of the plugin, matched and never shown",
    "Challenge.sender": "compared with `Mail.sender`, never shown",
    "Challenge.subject": "compared with `Mail.subject`, never shown",
    "Challenge.key": OPAQUE,
    "Mail.uid": OPAQUE,
    "TaskInstructions.sender": "compared with `Mail.sender`, never shown",
    "TaskInstructions.subject": "compared with `Mail.subject`, never shown",
    "TaskInstructions.code": "a regular expression of the plugin, matched and never shown",
    "LeaseEntry.auth": "the name of an entry, looked up",
    "LeaseEntry.billing": "the name of an entry, looked up",
    "LeaseEntry.web_hosts": "compared with the host of a page, never shown",
    "JsonApi.provider": "the name of an entry, looked up",
    "JsonApi.scheme": "sent to the service, never shown",
    "ApiKeyAuthenticator": "sent to the service, and a name in its answer",
    "CountedPages": "names in a request and in its answer, never shown",
    "RoutePace": "compared with a request, never shown",
    "InputField.default": "a value of a setting",
    "InputField.former_name": "the name of a setting",
    "InputField.new_values_by_former": "values of a setting",
    "Event.data": "for scripts, as JSON has it",
    "MachineProfile": EXACT,
    "Job": EXACT,
    "PushRequest": EXACT,
    "PullRequest": EXACT,
    "SkippedFile.name": EXACT,
    "SkippedFile.remote_path": EXACT,
    "SkippedFile.beside": EXACT,
    "LocalSource": EXACT,
    "Mail.subject": MARKED,
    "Mail.text": MARKED,
    "HostKey": CHECKED,
    "HostKeyPin": CHECKED,
    "UploadPreview": EXACT,
    "TransferReport": EXACT,
    "UploadTally": EXACT,
    "ResultGroup": EXACT,
    "LocalNames": EXACT,
    "AutoRunRow": OURS,
    "ProjectFile": EXACT,
    "TrustRecord": EXACT,
    "UploadSpec": EXACT,
    "SetupSpec": EXACT,
    "JobSpec": EXACT,
    "ResultsSpec": EXACT,
    "ProjectOrigin": EXACT,
    "TripSpec": EXACT,
    "ExportFile.name": EXACT,
    "Export.text": EXACT,
    "Observation": HERE,
    "SimulatorRoute": HERE,
    "SimulatorLedgerEntry": HERE,
    "SimulatorContext": HERE,
    "ManualAccess": HERE,
    "Discrepancy": HERE,
    **dict.fromkeys(
        (
            *(
                "ConfigKey",
                "ConfigSection",
                "TripField",
                "TripRecord",
                "StepRecord",
                "StepTime",
                "LedgerHead",
            ),
            *("Event.trip", "Event.lease", "Event.step", "Notice.id", "Finding.check", "Question.id"),
            *("Question.trip", "Question.default", "Requirements", "OrphanReport", "MailBinding.email"),
            *("PendingOrder.key", "OrderCopy.key", "Order.key", "Order.password_ref", "Order.image"),
            "Order.public_key",
            *("Lease.volume", "Volume.id", "Volume.provider", "VolumeOffer.provider", "VolumeLabel"),
            *("Order.restarts", "Offer.provider", "Lease.id", "Lease.provider", "Lease.password_ref"),
            *("Lease.completed_orders", "Lease.restarted_from", "LeaseCopy.lease", "LeaseCopy.provider"),
            *("LeaseCopy.completed_orders", "LeaseCopy.password_ref", "LedgerAccount.name"),
            *("Transaction.provider", "Transaction.lease", "Transaction.trip", "BrokenEntry.provider"),
            *("GuardAction.billing", "GuardMemory", "OrderRecord.key", "OrderRecord.lease"),
            *("OrderRecord.trip", "OrderRecord.provider", "Orphan.provider", "Orphan.lease"),
            *("AuthorizedBill.trip", "AuthorizedBill.provider", "AuthorizedBill.lease", "Receipt.lease"),
            *("Receipt.provider", "Receipt.idle", "LeasePeriod", "LedgerMovement.provider"),
            *("LedgerMovement.lease", "LedgerMovement.trip", "SavedBalance.billing"),
            *("LeaseCopy.former", "RestoreRecord"),
        ),
        OURS,
    ),
}


def iter_classes() -> Iterator[type[Any]]:
    for package in (gpurent.domain, gpurent.ports, gpurent.roles):
        for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for made in filter(inspect.isclass, vars(import_module(found.name)).values()):
                if "__attrs_attrs__" in vars(made) and made.__module__ == found.name:
                    yield made


def iter_texts(made: type[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each own field of the class that holds text, with its converter."""
    for found in attrs.fields(made):
        # Once some test has stored such an object, its types are no longer text.
        given = found.type.__name__ if isinstance(found.type, type) else str(found.type)
        kind = re.sub(r"\w+\.", "", given)
        words = set(kind.replace("[", " ").replace("]", " ").replace(",", " ").replace("|", " ").split())
        is_called = kind.startswith(("Callable", "type["))
        if not found.inherited and not is_called and words & {"str", "ForeignText", "ForeignLines"}:
            yield f"{made.__name__}.{found.name}", found.converter


def find_untyped(classes: Iterator[type[Any]]) -> tuple[list[str], set[str]]:
    """Return the texts that are neither cleaned nor named above, and the names above that are in use."""
    missing, used = [], set()
    for made in classes:
        for name, converter in iter_texts(made):
            key = made.__name__ if made.__name__ in PLAIN else name
            if converter not in CLEANING and key not in PLAIN:
                missing.append(name)
            elif converter not in CLEANING:
                used.add(key)
    return missing, used


def test_every_text_of_others_is_cleaned_when_it_is_made() -> None:
    missing, used = find_untyped(iter_classes())
    assert not missing, "field(converter=ForeignText), or a reason above"
    assert PLAIN.keys() - used == set(), "an old exception"


@frozen
class Planted:
    text: str = ""
    texts: tuple[str, ...] = ()
    by_name: dict[str, str] = field(factory=dict)
    number: int = 0
    cleaned: ForeignText = field(default=ForeignText(), converter=ForeignText)


def test_the_rule_finds_a_planted_field() -> None:
    assert find_untyped(iter([Planted]))[0] == ["Planted.text", "Planted.texts", "Planted.by_name"]


@pytest.mark.parametrize("kind", [ForeignText, ForeignLines])
def test_what_is_cleaned_is_not_cleaned_again(kind: type[str]) -> None:
    made = kind("a\x1b[31mb\u202ec")
    assert made == "abc"
    assert kind(made) is made
