"""The driver that works everywhere: an SSH server in this event loop, a supervised process tree a machine."""

import asyncio
import hmac
import signal
import sys
from pathlib import Path

import asyncssh

from gpurent.testing.sandbox.machines.base import Body, DriverBase, Site
from gpurent.testing.sandbox.machines.embedded_session import Process, serve
from gpurent.testing.sandbox.machines.embedded_sftp import MachineSftp, Quota
from gpurent.testing.sandbox.machines.homes import furnish
from gpurent.testing.sandbox.machines.keeper import Keeper
from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.proctree import signal_tree
from gpurent.testing.sandbox.machines.programs import fit_out, host_program
from gpurent.testing.sandbox.machines.stops import write_own

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class EmbeddedDriver(DriverBase):
    """Machines share the host's user, root folder and process list; each has a HOME and programs of its own.

    No wall stands between them and the host: run nothing in them that you would not run yourself.
    """

    name = "embedded"

    async def _raise(self, site: Site) -> Body:
        spec, disk = site.spec, site.disk
        programs = fit_out(disk.opt, site.farms, spec, python3=host_program("python3") or sys.executable)
        furnish(disk.home, spec, programs.search)
        write_own(spec.stop_scripts, disk.home, str(site.bell))
        for name in ("s", "t", "tmp"):
            (site.run / name).mkdir(mode=0o700)
        keeper = await Keeper.start(site.run / "supervisor.log")
        body = _EmbeddedBody(site, keeper, programs.search)
        try:
            await body.listen()
        except BaseException:
            await body.kill()
            raise
        return body


class _EmbeddedBody(Body):
    def __init__(self, site: Site, keeper: Keeper, search: str) -> None:
        self.keeper = keeper
        self.gone = keeper.gone
        self.home = str(site.disk.home)
        self.shell = "/bin/bash" if Path("/bin/bash").exists() else host_program("bash") or "/bin/sh"
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._site = site
        self._search = search
        self._quota = Quota(site.disk.folder, site.spec.disk_bytes)
        self._listener: asyncssh.SSHAcceptor | None = None

    async def listen(self) -> None:
        """Open the SSH server."""
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=lambda: _Door(self, self._site.spec, self._site.disk.home),
            server_host_keys=[str(self._site.disk.host_key)],
            process_factory=lambda process: serve(process, self),
            sftp_factory=lambda channel: MachineSftp(channel, self.home, self._quota),
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            gss_host=None,
        )
        self.port = self._listener.get_port()

    def environment(self, process: Process) -> dict[str, str]:
        """A clean one; of what the client sends only LANG and LC_*, as Debian's sshd does."""
        run, user = self._site.run, self._site.spec.user
        host, port = process.get_extra_info("peername")[:2]
        env = {
            "HOME": self.home,
            "USER": user,
            "LOGNAME": user,
            "SHELL": self.shell,
            "PATH": self._search,
            "LANG": "C.UTF-8",
            "SCREENDIR": str(run / "s"),
            "TMUX_TMPDIR": str(run / "t"),
            "TMPDIR": str(run / "tmp"),
            "SSH_CLIENT": f"{host} {port} {self.port}",
            "SSH_CONNECTION": f"{host} {port} 127.0.0.1 {self.port}",
        }
        if process.term_type:
            env["TERM"] = process.term_type
        sent = {
            name: value for name, value in process.env.items() if name == "LANG" or name.startswith("LC_")
        }
        return env | sent

    def freeze(self, frozen: bool) -> None:
        signal_tree(self.keeper.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    def processes(self) -> list[int]:
        return self.keeper.processes()

    async def kill(self) -> None:
        await self.keeper.kill()
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)


class _Door(asyncssh.SSHServer):
    """Who may log in: one user, by password or by a key in the machine's own authorized_keys."""

    def __init__(self, body: _EmbeddedBody, spec: MachineSpec, home: Path) -> None:
        self._body = body
        self._spec = spec
        self._keys = home / ".ssh" / "authorized_keys"
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._body.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._body.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        try:
            if self._connection is not None and username == self._spec.user:
                keys = asyncssh.import_authorized_keys(self._keys.read_text())
                self._connection.set_authorized_keys(keys)
        except (OSError, ValueError):
            pass
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        expected, given = self._spec.password.encode(), password.encode()
        return hmac.compare_digest(expected, given) and username == self._spec.user

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return dest_host in _LOOPBACK
