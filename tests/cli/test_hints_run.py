"""Every command in the hint of an error about money or a lease is typed, and does what the hint promises."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest

from gpurent import errors
from gpurent.errors import GpurentError, InputRequired, LeaseError, MoneyError
from gpurent.testing.shared_sandbox import SharedSandbox, shared_sandbox
from gpurent.workflow.steps import provider_orders
from tests.cli.hint_provocations import PROVOCATIONS, Provocation
from tests.cli.hint_user import SPEED, HintUser
from tests.cli.test_printed_commands import PRINTED_COMMAND, ROOT

# Hints that no command of a user provokes here, and why.
ELSEWHERE = {
    "See: gpurent trips": "the Store lost the order of a lease: then the second copy of the lease comes first",
    "Look at the account: gpurent reconcile {provider}": "the provider dropped an order before its payment was sent",
    "Release it to get the money back: gpurent release {lease}": "a provider that ends an order that it was paid for",
    "Check the provider's page, then: gpurent renew {lease} --for 1h": "a wallet that does not know what it paid",
    "Release it first: gpurent release {lease}": "as in tests/reliability/test_volumes.py, where it is followed",
    "Bid more, or pick another machine: gpurent offers --spot": "others outbid an order just as it is placed",
    "Nothing was spent. Add credit first: gpurent topup {provider} 10": "as at mistgpu, whose hint is followed",
    "To see how to add DBC: gpurent topup dbc-chain": "as at 1024gpu, whose hint is followed",
    'Rent on the provider\'s page, then: gpurent adopt --provider PROVIDER "ssh USER@HOST -p PORT"': (
        "no command orders an adopted machine"
    ),
}

# Those that take longest are tried at night.
LONG = {
    "cancel_an_order_that_may_be_paid",
    "get_no_refund",
    "get_no_stop",
    "order_onto_an_order_of_the_guard",
    "order_onto_an_unfinished_order",
    "pay_for_more_time_too_late",
    "start_a_machine_on_the_page",
}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedSandbox]:
    with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=SPEED, machines=16) as made:
        yield made


def name_of(provocation: Provocation) -> str:
    return f"{provocation.error.code}-{provocation.provoke.__name__}"


@pytest.mark.parametrize(
    "provocation",
    [
        pytest.param(
            one, id=name_of(one), marks=[pytest.mark.nightly] if one.provoke.__name__ in LONG else []
        )
        for one in PROVOCATIONS
    ],
)
def test_the_hint_helps(
    provocation: Provocation, sandbox: SharedSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_orders, "PROVISION_TIMEOUT", timedelta(minutes=5))
    name = f"{provocation.provoke.__name__}@sandbox.example"
    user = HintUser(sandbox, sandbox.user(tmp_path / "home"), tmp_path, name)
    shown = provocation.provoke(user)
    expected = ".*".join(map(re.escape, re.split(r"\{\w+\}", provocation.hint)))
    assert re.search(expected, shown.hint), shown
    user.type_hint(shown)
    provocation.check(user)
    for lease in user.read("ls"):
        user.type_line(f"release {lease['id']}")


def test_a_price_that_is_missing_is_given_by_typing_the_command_again(
    sandbox: SharedSandbox, tmp_path: Path
) -> None:
    user = HintUser(sandbox, sandbox.user(tmp_path / "home"), tmp_path, "price@sandbox.example")
    shown = user.fail("rent -p ssh", InputRequired)
    assert "type the command again with: --price 3.5CNY/h" in shown.hint
    again = user.fail("rent -p ssh --price 3.5CNY/h", InputRequired)
    assert "SSH command" in again.message


def list_error_classes(kind: type[GpurentError]) -> list[type[GpurentError]]:
    """Return the class and those below it that `gpurent.errors` has: what is imported beside changes nothing."""
    below = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(found for child in below for found in list_error_classes(child))]


CLASSES = [*list_error_classes(MoneyError), *list_error_classes(LeaseError)]


def test_every_class_is_provoked() -> None:
    """A trip that reaches its budget, or whose machine did not start, says what was done; no hint has a command."""
    provoked = {provocation.error for provocation in PROVOCATIONS}
    assert provoked == set(CLASSES) - {errors.BudgetExceeded, errors.StartFailed}
    hints = [hint for name, hint in list_hints() if name in ("BudgetExceeded", "StartFailed")]
    assert [hint for hint in hints if PRINTED_COMMAND.search(hint)] == []


def test_every_hint_with_a_command_is_provoked() -> None:
    found = {hint for _name, hint in list_hints() if PRINTED_COMMAND.search(hint)}
    assert found == {provocation.hint for provocation in PROVOCATIONS} | set(ELSEWHERE)


Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def list_hints() -> frozenset[tuple[str, str]]:
    """Return the class of an error that is about money or a lease, and each message that its hint may have."""
    # Where either of two classes is raised, the variable is called error.
    names = {kind.__name__ for kind in CLASSES} | {"error"}
    paths = [*ROOT.glob("core/gpurent/**/*.py"), *ROOT.glob("plugins/*/src/*/*.py")]
    texts = [path.read_text("utf-8") for path in paths if "testing" not in path.parts]
    trees = [ast.parse(text) for text in texts if "gpurent " in text]
    own = [{node.name: node for node in ast.walk(tree) if isinstance(node, Function)} for tree in trees]
    public = {name: node for functions in own for name, node in functions.items() if name[0] != "_"}
    found = set()
    for functions in own:
        for function in functions.values():
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in names:
                    hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
                    messages = iter_messages(hints, function, public | functions)
                    found |= {(call.func.id, message) for message in messages}
    return frozenset(found)


def iter_messages(
    values: Sequence[ast.AST], function: ast.AST, functions: Mapping[str, Function]
) -> Iterator[str]:
    """Yield the texts in expressions, in what is assigned to their names, and in the functions that they call."""
    waiting, seen = list(values), set[str]()
    while waiting:
        for node in ast.walk(waiting.pop()):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.Name) and node.id not in seen:
                seen.add(node.id)
                waiting += [functions[node.id]] if node.id in functions else _list_values(node.id, function)


def _list_values(name: str, function: ast.AST) -> list[ast.AST]:
    return [
        found.value
        for found in ast.walk(function)
        if isinstance(found, ast.Assign)
        and any(isinstance(target, ast.Name) and target.id == name for target in found.targets)
    ]
