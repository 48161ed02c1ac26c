"""Contract classes are complete, do not hide each other's tests, and refuse to be silently left out."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest

from gpurent.testing import contracts
from gpurent.testing.contracts import (
    Contract,
    MailboxContract,
    ProviderContract,
    SessionContract,
    daily_share,
)
from gpurent.testing.contracts.contract import require_capability


def test_an_incomplete_test_class_is_an_error() -> None:
    with pytest.raises(TypeError, match="TestMine tests nothing yet: MailboxContract needs mailbox"):
        type("TestMine", (MailboxContract,), {})
    with pytest.raises(TypeError, match="needs backend_type, detach_keys, program"):
        type("TestMine", (SessionContract,), {})
    type("MineBase", (MailboxContract,), {})  # what is only a base may leave it to others


def test_a_subclass_that_pytest_would_leave_out_fails_at_collection(tmp_path: Path) -> None:
    text = "from gpurent.testing.contracts import MailboxContract\n\n\nclass TestAcme(MailboxContract):\n    pass\n"
    (tmp_path / "test_acme.py").write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == pytest.ExitCode.INTERRUPTED
    assert "TestAcme tests nothing yet: MailboxContract needs mailbox" in ran.stdout


def test_a_class_variable_with_a_value_is_enough() -> None:
    class Base(Contract):
        needed: ClassVar[str]

    type("TestComplete", (Base,), {"needed": "x"})
    with pytest.raises(TypeError, match="needed"):
        type("TestIncomplete", (Base,), {})


def test_every_public_name_is_there() -> None:
    for name in contracts.__all__:
        assert getattr(contracts, name, None) is not None, name
    assert dir(contracts) == contracts.__all__
    with pytest.raises(AttributeError, match="no_such"):
        _ = contracts.no_such


def test_no_contract_of_a_provider_hides_a_test_of_another() -> None:
    names = Counter(
        name for base in ProviderContract.__mro__ for name in vars(base) if not name.startswith("_")
    )
    # The fixtures of the common base are defined once, too.
    assert [name for name, times in names.items() if times > 1] == []
    assert len([name for name in names if name.startswith("test_")]) > 80


def test_a_daily_share_marks_the_rest_and_leaves_the_contract_alone() -> None:
    class Base(Contract):
        def test_a(self) -> None: ...
        def test_b(self) -> None: ...

        @pytest.mark.parametrize("number", [1])
        def test_c(self, number: int) -> None: ...

    @daily_share(4, of=3)
    class Sliced(Base):
        pass

    def list_marks(cls: type, name: str) -> list[str]:
        return [mark.name for mark in getattr(getattr(cls, name), "pytestmark", [])]

    assert list_marks(Sliced, "test_a") == ["nightly"]
    assert list_marks(Sliced, "test_b") == []
    assert list_marks(Sliced, "test_c") == ["parametrize", "nightly"]
    assert list_marks(Base, "test_a") == []
    assert list_marks(Base, "test_c") == ["parametrize"]


def test_what_is_missing_is_named_in_the_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="acme has no str"):
        require_capability(7, str, "acme")
    assert require_capability("x", str, "acme") == "x"
