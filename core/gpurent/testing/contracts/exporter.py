"""Contract tests for an exporter, over machines with every kind of name, path and password.

A plugin's test is a subclass with its exporter, and a reader of the format that is not the exporter's own code::

    class TestFileZilla(ExporterContract):
        exporter = FileZillaExporter
        stores_password = True

        def read_profiles(self, export, leases):
            ...
"""

from __future__ import annotations

from abc import abstractmethod
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from attrs import evolve, frozen
from hypothesis import HealthCheck, given, settings, strategies as st

from gpurent.domain.access import Endpoint
from gpurent.domain.secret import Secret
from gpurent.roles.exporter import ALIAS_PATTERN, Export, ExportedLease, Exporter, SupportsInstall
from gpurent.testing.contracts.contract import Contract
from gpurent.workflow.connection.exports import lease_alias

# Letters, quotes, special characters of every format, Chinese. No control characters: those have their own tests.
_odd_texts = st.text(st.sampled_from("abc \"'\\%$&;#[]}<>=~*?模型"), min_size=1, max_size=20)
_paths = _odd_texts.map(lambda text: Path("/home/me") / text.replace("/", "-").strip("."))
_digests = st.text(st.sampled_from("abcXYZ019+/"), min_size=43, max_size=43)
_hosts = st.sampled_from(["gpu28.example.com", "10.0.0.1", "[2001:db8::1]", "a-b.c"])
_users = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
passwords = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=8, max_size=20)
leases = st.builds(
    ExportedLease,
    name=st.text(max_size=30).map(lease_alias) | st.from_regex(ALIAS_PATTERN, fullmatch=True),
    endpoint=st.builds(Endpoint, _users, _hosts, st.integers(1, 65535)),
    key_file=_paths,
    known_hosts=_paths,
    host_key=st.sampled_from(
        ["ssh-ed25519 AAAAC3Nza+/=", "ssh-rsa AAAAB3Nza", "ecdsa-sha2-nistp256 AAAAE2Vj"]
    ),
    fingerprint=_digests.map("SHA256:{}".format),
    folder=st.sampled_from(["", "/", "/root", "/home/mist", "/data/a.b,c@d+e/f"]),
)


def _example_settings(number: int) -> settings:
    """Return Hypothesis settings that allow one contract's test to run in several subclasses."""
    return settings(
        max_examples=number, deadline=None, suppress_health_check=[HealthCheck.differing_executors]
    )


lease_lists = st.lists(leases, min_size=1, max_size=3, unique_by=lambda lease: lease.name.lower())


@frozen
class ParsedProfile:
    """What an independent reader of the format finds in a profile; ``password`` is None if the profile stores none.

    ``key_file`` and ``known_hosts`` are paths, None where the format has no place for them; ``checks_host_key`` is
    whether the program refuses a machine with another host key, None if the profile does not decide that.
    """

    name: str
    host: str
    port: int
    user: str
    password: str | None = None
    key_file: str | None = None
    known_hosts: str | None = None
    checks_host_key: bool | None = None


class ExporterContract(Contract):
    """Contract tests for an exporter; ``stores_password``: whether the format has a documented password field.

    ``uses_key``: whether its profiles name the lease's key and its file of known hosts, and decide about host keys.
    """

    exporter: ClassVar[type[Exporter]]
    stores_password: ClassVar[bool]
    uses_key: ClassVar[bool] = False

    @abstractmethod
    def read_profiles(self, export: Export, leases: Sequence[ExportedLease]) -> Sequence[ParsedProfile]:
        """Return what an independent reader of the format finds, in the order of ``leases``."""

    @_example_settings(25)
    @given(lease_lists)
    def test_what_is_read_back_is_what_was_written(self, machines: list[ExportedLease]) -> None:
        export = self.exporter().export_leases(machines)
        found = self.read_profiles(export, machines)
        assert [(profile.name, profile.host, profile.port, profile.user) for profile in found] == [
            (lease.name, lease.endpoint.address, lease.endpoint.port, lease.endpoint.user)
            for lease in machines
        ]
        assert [profile.password for profile in found] == [None] * len(machines)

    @_example_settings(10)
    @given(lease_lists)
    def test_the_lease_s_own_key_and_host_key_are_used(self, machines: list[ExportedLease]) -> None:
        for profile, lease in zip(
            self.read_profiles(self.exporter().export_leases(machines), machines), machines, strict=True
        ):
            assert profile.key_file == str(lease.key_file) or not self.uses_key
            assert profile.known_hosts == str(lease.known_hosts) or not self.uses_key
            assert profile.checks_host_key or not self.uses_key
            assert profile.checks_host_key is not False

    @_example_settings(10)
    @given(lease_lists, passwords)
    def test_password_is_exported_only_where_requested(
        self, machines: list[ExportedLease], word: str
    ) -> None:
        requested = [evolve(machines[0], password=Secret(word)), *machines[1:]]
        found = self.read_profiles(self.exporter().export_leases(requested), requested)
        assert found[0].password == (word if self.stores_password else None)
        assert [profile.password for profile in found[1:]] == [None] * (len(machines) - 1)

    @_example_settings(10)
    @given(lease_lists, passwords)
    def test_a_format_without_a_place_for_it_hides_no_password(
        self, machines: list[ExportedLease], word: str
    ) -> None:
        if self.stores_password:
            return
        export = self.exporter().export_leases([evolve(machines[0], password=Secret(f"pass-{word}"))])
        content = export.file.content if export.file else export.text.encode()
        for disguise in _encode_variants(f"pass-{word}"):
            assert disguise not in content
        assert any("password" in note for note in export.notes)

    @_example_settings(10)
    @given(lease_lists)
    def test_it_is_pure_and_has_notes(self, machines: list[ExportedLease]) -> None:
        first, second = self.exporter().export_leases(machines), self.exporter().export_leases(machines)
        assert first == second
        assert first.notes
        assert first.file or first.text
        if first.file:
            assert Path(first.file.name).name == first.file.name
            assert first.file.name.startswith(machines[0].name if len(machines) == 1 else "gpurent")


def _encode_variants(word: str) -> set[bytes]:
    raw = word.encode()
    return {raw, raw.hex().encode(), b64encode(raw), quote(word, safe="").encode(), word.encode("utf-16-le")}


class InstallContract(Contract):
    """Contract tests for `SupportsInstall`: uninstalling removes all that installing added to the user's settings."""

    installer: ClassVar[type[SupportsInstall]]

    @_example_settings(10)
    @given(lease_lists)
    def test_install_and_uninstall(self, machines: list[ExportedLease]) -> None:
        from tempfile import TemporaryDirectory

        made = self.installer()
        with TemporaryDirectory() as folder:
            home = Path(folder)
            assert made.install_leases(machines, home)
            assert made.list_installed(home) == sorted(lease.name for lease in machines)
            before = _read_files(home)
            assert made.install_leases(machines, home) == []
            assert _read_files(home) == before
            assert made.uninstall_leases([machines[0].name], home)
            assert made.list_installed(home) == sorted(lease.name for lease in machines[1:])
            made.uninstall_leases([lease.name for lease in machines], home)
            assert made.list_installed(home) == []
            assert _read_files(home) == {}
            assert made.uninstall_leases([machines[0].name], home) == []


def _read_files(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}
