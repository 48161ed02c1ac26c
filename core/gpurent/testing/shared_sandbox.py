"""A complete sandbox that many tests share: machines with SSH, an IMAP server, every simulator, and the command line.

It runs in its own thread, so that a module or a session can keep it whatever event loop its tests use. Each test makes
its own user, with a new home, mailbox and keys::

    @pytest.fixture(scope="module")
    def sandbox(tmp_path_factory):
        with shared_sandbox(tmp_path_factory.mktemp("sandbox"), speed=300) as made:
            yield made

    def test_offers(sandbox, tmp_path):
        user = sandbox.user(tmp_path)
        sandbox.log_in(user, "acme")
        assert user.run("offers", "-p", "acme").code == 0

Time, the machines in stock and the simulators' ledgers are shared: only check your own account's entries.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TextIO, TypeVar

from attrs import define, field, frozen

from gpurent.errors import UsageError
from gpurent.infra.http import HttpClient
from gpurent.infra.redact import Redactor
from gpurent.ports.services import HttpResponse
from gpurent.roles.entries import AuthEntry, LeaseEntry
from gpurent.testing.load_timeouts import adapt_speed
from gpurent.testing.sandbox.simulated_cloud import SandboxOptions, SimulatedCloud
from gpurent.testing.sandbox_harness import installed_plugins

T = TypeVar("T")
S = TypeVar("S")
LOG = logging.getLogger(__name__)


@frozen
class CommandLineResult:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        """The data of the single JSON document (``--json``) of a successful command."""
        found = json.loads(self.out)
        assert found["ok"] is True, self.out + self.err
        return found["data"]


@frozen
class CommandLineUser:
    """A user at a terminal: an empty home folder, and the environment variables that point to the sandbox."""

    home: Path
    address: str
    environment: Mapping[str, str]

    def run(self, *arguments: str, input_text: str = "") -> CommandLineResult:
        """Run the real command line in this process and thread. No event loop may be running here.

        ``input_text`` is its stdin, which is not a terminal: a prompt must be answered by an option, or the command
        fails.
        """
        from importlib_metadata import entry_points

        main = entry_points(group="console_scripts")["gpurent"].load()
        threshold = gc.get_threshold()
        with _streams(input_text) as (out, err), _environment(self.environment):
            try:
                main(list(arguments))
                code: object = 0
            except SystemExit as ended:
                code = ended.code
            finally:
                gc.set_threshold(*threshold)
            return CommandLineResult(code if isinstance(code, int) else 1, _text(out), _text(err))


@contextmanager
def _streams(input_text: str) -> Iterator[tuple[TextIO, TextIO]]:
    """Replace stdin, stdout and stderr in the block, by files: a command that runs another one needs descriptors."""
    before = sys.stdin, sys.stdout, sys.stderr
    with ExitStack() as stack:
        made = [stack.enter_context(TemporaryFile("w+", encoding="utf-8", newline="")) for _ in range(3)]
        made[0].write(input_text)
        made[0].seek(0)
        sys.stdin, sys.stdout, sys.stderr = made
        try:
            yield made[1], made[2]
        finally:
            sys.stdin, sys.stdout, sys.stderr = before


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set ``variables`` in the block, without this process's own ``GPURENT_`` variables."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith("GPURENT_")]:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _text(stream: TextIO) -> str:
    stream.flush()
    stream.seek(0)
    return stream.read()


@define
class SharedSandbox:
    """A sandbox in its own thread. Change ``cloud`` only through `run_in_loop`; read it while nothing runs."""

    cloud: SimulatedCloud
    _loop: asyncio.AbstractEventLoop
    _clients: dict[str, HttpClient] = field(factory=dict)
    _user_numbers: count[int] = field(factory=lambda: count(1))

    def run_in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` in the sandbox's event loop and return its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def user(self, home: Path) -> CommandLineUser:
        """Return a new user; ``home`` is the test's own folder."""
        address = f"user{next(self._user_numbers)}@sandbox.example"
        self.run_in_loop(self.cloud.mail.open_mailbox(address))
        folder = home / "gpurent"
        folder.mkdir(mode=0o700, parents=True)
        variables = {"HOME": str(home), "LANG": "C.UTF-8", "GPURENT_LANG": "en"}
        return CommandLineUser(home, address, {**variables, **self.cloud.environment(folder, address)})

    def simulator(self, name: str, kind: type[S]) -> S:
        """Return the simulator of that name, which must be a ``kind``. Change it only through `run_in_loop`."""
        return self.cloud.simulators.get_simulator(name, kind)

    def log_in(self, user: CommandLineUser, provider: str) -> str:
        """Log the user in with what the provider's simulator makes for the sandbox's user; return the account.

        It is one account for all users that are logged in by this.
        """
        registry = installed_plugins()
        entry = registry.get_entry(AuthEntry, registry.get_entry(LeaseEntry, provider).auth)
        fields, options, text = dict(self.cloud.simulators.login_fields().get(provider, {})), list[str](), ""
        for declared in entry.fields:
            value = fields.pop(declared.name, "")
            if value and declared.secret:
                options, text = [*options, "--stdin", declared.name], f"{value}\n"
            elif value:
                options += ["-f", f"{declared.name}={value}"]
        account: str = user.run("login", provider, *options, "--json", input_text=text).data["account"]
        return account

    def advance(self, **span: float) -> None:
        """Jump ahead, with the arguments of `datetime.timedelta`; every simulator catches up at once."""
        self.run_in_loop(self.cloud.advance(timedelta(**span)))

    def request(self, simulator: str, method: str, path: str, **fields: Any) -> HttpResponse:
        """Send one request without a login: a sign-up, a purchase. See `gpurent.ports.services.Http`."""
        return self.run_in_loop(self._request(simulator, method, path, fields))

    def post(self, simulator: str, path: str, **fields: Any) -> Any:
        """POST ``fields`` as JSON and return the JSON response. Raises ``UsageError`` if the status is not 200."""
        answer = self.request(simulator, "POST", path, json=fields)
        if answer.status != 200:
            raise UsageError(f"{simulator} refuses {path}: {answer.status} {answer.text[:200]}")
        return answer.json()

    async def _request(
        self, simulator: str, method: str, path: str, fields: Mapping[str, Any]
    ) -> HttpResponse:
        if simulator not in self._clients:
            url = self.cloud.urls[simulator]
            self._clients[simulator] = HttpClient(url, redact=Redactor(), log=LOG)
        return await self._clients[simulator].request(method, path, **fields)

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        await self.cloud.close()


@contextmanager
def shared_sandbox(root: Path, **options: Any) -> Iterator[SharedSandbox]:
    """Run a sandbox below ``root``; all of it ends with the block.

    ``options``: see `SandboxOptions`; under load, the speed is lower.
    """
    sandbox_options = {"driver": "embedded", "settings": {}, **options}
    sandbox_options["speed"] = adapt_speed(options.get("speed", 1))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sandbox", daemon=True)
    thread.start()
    made = SharedSandbox(SimulatedCloud(root, installed_plugins(), SandboxOptions(**sandbox_options)), loop)
    try:
        made.run_in_loop(made.cloud.start())
        yield made
    finally:
        made.run_in_loop(made.close())
        made.run_in_loop(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
