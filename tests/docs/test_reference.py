"""Every hook and every public name of `gpurent.api` is on exactly one page of the reference."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib import import_module

import pytest

from gpurent import api
from gpurent.domain.lease import TRANSITIONS
from gpurent.roles import hookspecs
from scripts import docs_reference, docs_testing_reference
from tests.docs.blocks import DOCS

HOOKS = [name for name in vars(hookspecs) if name.startswith("gpurent_register_")]


@pytest.fixture(scope="module")
def pages() -> Mapping[str, str]:
    return docs_reference.make_pages()


def test_every_public_name_is_on_one_page(pages: Mapping[str, str]) -> None:
    assert docs_reference.find_problems() == []
    text = "\n".join(pages.values())
    shown = re.findall(r"^\.\. (?:autoclass|autofunction|py:data):: gpurent\.api\.(\w+)$", text, re.MULTILINE)
    assert sorted(shown) == sorted(api.__all__)


def test_every_hook_has_a_page_with_its_entry_and_its_role(pages: Mapping[str, str]) -> None:
    table = re.findall(
        r"^\| `(gpurent_register_\w+)\([^)]*\)` \| `(\w+)` \| `([\w.]+)` \|",
        (DOCS / "hooks.md").read_text("utf-8"),
        re.MULTILINE,
    )
    assert sorted(hook for hook, _entry, _role in table) == sorted(HOOKS)
    for hook, entry, role in table:
        page = pages[f"hook-{hook.removeprefix('gpurent_register_')}.rst"]
        assert f"hookspecs.{hook}\n" in page
        assert f"gpurent.api.{entry}\n" in page
        assert role == "click.Command" or f"gpurent.api.{role}\n" in page


def test_every_capability_is_on_the_page_of_its_role(pages: Mapping[str, str]) -> None:
    for name in api.__all__:
        value = getattr(api, name)
        if inspect.isclass(value) and (value.__doc__ or "").startswith("Capability"):
            found = [page for page, text in pages.items() if f"autoclass:: gpurent.api.{name}\n" in text]
            assert len(found) == 1
            assert found[0].startswith("hook-"), name
            assert f"`{name}`" in pages[found[0]].partition("--")[0], (
                f"{name} is not in the list of capabilities"
            )


def test_the_states_are_in_the_table(pages: Mapping[str, str]) -> None:
    rows = dict(re.findall(r"   \* - ([A-Z]+)\n     - ([A-Z, ]+)\n", pages["leases.rst"]))
    assert {
        state: {api.LeaseState[name] for name in rows[state.name].split(", ")} for state in TRANSITIONS
    } == dict(TRANSITIONS)


def test_the_contracts_that_it_names_exist() -> None:
    from gpurent.testing import contracts

    named = {name for page in docs_reference.HOOK_PAGES for name in page.contracts.split()}
    assert named <= set(contracts.__all__)


def test_a_name_without_a_page_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "__all__", [*api.__all__, "brand_new"])
    assert docs_reference.find_problems() == ["brand_new: on no page"]


def test_every_name_of_the_test_kit_is_there_and_says_what_it_is() -> None:
    for module, name in docs_testing_reference.list_testing_names():
        value = getattr(import_module(f"gpurent.testing.{module}"), name)
        if name in docs_testing_reference.CONSTANTS:
            continue
        assert inspect.isclass(value) is name[0].isupper(), name
        assert inspect.getdoc(value), f"{module}.{name} has no docstring"


def test_the_contracts_and_the_fakes_are_in_the_reference() -> None:
    from gpurent.testing import contracts, fakes

    shown = docs_testing_reference.list_testing_names()
    assert {name for module, name in shown if module == "contracts"} == set(contracts.__all__)
    assert {name for module, name in shown if module == "fakes"} == set(fakes.__all__)
    assert len(set(shown)) == len(shown)
