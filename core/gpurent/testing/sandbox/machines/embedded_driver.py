"""The driver that works everywhere: an SSH server in this event loop, and one supervised process tree per machine."""

import asyncio
import hmac
import signal
import sys
from pathlib import Path

import asyncssh

from gpurent.testing.sandbox.machines.authorized_keys import add_authorized_keys
from gpurent.testing.sandbox.machines.driver_base import BootContext, DriverBase, MachineInstance
from gpurent.testing.sandbox.machines.embedded_session import Process, serve_session
from gpurent.testing.sandbox.machines.embedded_sftp import DiskQuota, MachineSftp
from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.process_tree import signal_tree
from gpurent.testing.sandbox.machines.programs import (
    MachinePrograms,
    find_host_program,
    install_programs,
)
from gpurent.testing.sandbox.machines.shell_profiles import write_shell_profiles
from gpurent.testing.sandbox.machines.stop_scripts import write_home_scripts
from gpurent.testing.sandbox.machines.supervisor_client import SupervisorClient
from gpurent.testing.sandbox.peers import is_own_peer

_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


class EmbeddedDriver(DriverBase):
    """Boots machines that share the host's user, root folder and process list; each has its own HOME and programs.

    There is no isolation from the host: run nothing in them that you would not run yourself.
    """

    name = "embedded"

    async def _start_instance(self, context: BootContext) -> MachineInstance:
        spec, disk = context.spec, context.disk
        programs = install_programs(
            disk.opt,
            context.link_farms,
            spec,
            python3=find_host_program("python3") or sys.executable,
            home=disk.home,
        )
        write_shell_profiles(disk.home, spec, programs.path_variable)
        write_home_scripts(spec.stop_scripts, disk.home, str(context.stop_pipe))
        for name in ("s", "t", "tmp"):
            (context.runtime_folder / name).mkdir(mode=0o700)
        supervisor = await SupervisorClient.start(context.runtime_folder / "supervisor.log")
        body = _EmbeddedInstance(context, supervisor, programs)
        try:
            await body.listen()
        except BaseException:
            await body.kill()
            raise
        return body


class _EmbeddedInstance(MachineInstance):
    def __init__(self, context: BootContext, supervisor: SupervisorClient, programs: MachinePrograms) -> None:
        self.supervisor = supervisor
        self.ended = supervisor.ended
        self.home = str(context.disk.home)
        self.shell = context.spec.login_shell
        if not Path(self.shell).exists():
            self.shell = find_host_program("bash") or "/bin/sh"
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._context = context
        self._programs = programs
        self._path_variable = programs.path_variable
        self._quota = DiskQuota(context.disk.folder, context.spec.disk_bytes)
        self._listener: asyncssh.SSHAcceptor | None = None

    async def listen(self, port: int = 0) -> None:
        """Start the SSH server on ``port``; 0: any free one."""
        self._listener = await asyncssh.listen(
            "127.0.0.1",
            port,
            server_factory=lambda: _LoginServer(self, self._context.spec, self._context.disk.home),
            server_host_keys=[str(self._context.disk.host_key)],
            process_factory=lambda process: serve_session(process, self),
            sftp_factory=lambda channel: MachineSftp(channel, self.home, self._quota),
            encoding=None,
            line_editor=False,
            agent_forwarding=False,
            gss_host=None,
        )
        self.port = self._listener.get_port()

    def make_environment(self, process: Process) -> dict[str, str]:
        """Return a clean environment; of the client's variables only LANG and LC_*, as Debian's sshd does."""
        run, user = self._context.runtime_folder, self._context.spec.user
        host, port = process.get_extra_info("peername")[:2]
        env = {
            "HOME": self.home,
            "USER": user,
            "LOGNAME": user,
            "SHELL": self.shell,
            "PATH": self._path_variable,
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

    def add_authorized_key(self, line: str) -> None:
        add_authorized_keys(self._context.disk.home, [line])

    def freeze(self, frozen: bool) -> None:
        signal_tree(self.supervisor.pid, signal.SIGSTOP if frozen else signal.SIGCONT)

    async def reload_host_key(self) -> None:
        if self._listener is not None:
            self._listener.close()
            await self._listener.wait_closed()
        await self.listen(self.port)

    async def show_visible_programs(self) -> None:
        self._path_variable = self._programs.visible_path
        write_shell_profiles(self._context.disk.home, self._context.spec, self._path_variable)

    async def fill_disk(self, full: bool) -> None:
        """Only for what SFTP writes: the machine's processes write to the host's own disk."""
        self._quota.is_full = full

    def list_processes(self) -> list[int]:
        return self.supervisor.list_processes()

    async def kill(self) -> None:
        await self.supervisor.kill()
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0)


class _LoginServer(asyncssh.SSHServer):
    """Accepts one user, by password, if there is one, or by a key in the machine's own authorized_keys."""

    def __init__(self, body: _EmbeddedInstance, spec: MachineSpec, home: Path) -> None:
        self._instance = body
        self._spec = spec
        self._keys_file = home / ".ssh" / "authorized_keys"
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._instance.connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._connection is not None:
            self._instance.connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        if self._connection is None or not is_own_peer(self._connection.get_extra_info("socket")):
            raise asyncssh.PermissionDenied("not your sandbox")
        try:
            if username == self._spec.user:
                keys = asyncssh.import_authorized_keys(self._keys_file.read_text())
                self._connection.set_authorized_keys(keys)
        except (OSError, ValueError):
            pass
        return True

    def password_auth_supported(self) -> bool:
        return bool(self._spec.password)

    def validate_password(self, username: str, password: str) -> bool:
        if not self._spec.password:
            return False
        expected, received = self._spec.password.encode(), password.encode()
        return hmac.compare_digest(expected, received) and username == self._spec.user

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        return dest_host in _LOOPBACK_HOSTS
