"""The arguments of ``bwrap`` that define what a bubblewrap machine sees."""

import sys
from pathlib import Path

from gpurent.testing.sandbox.machines.bwrap_etc import HOST_FILES, UID, get_home
from gpurent.testing.sandbox.machines.driver_base import BootContext
from gpurent.testing.sandbox.machines.programs import MachinePrograms, find_host_program

OPT, LINK_FARM, STOP_PIPE, DISK = "/opt", "/opt-all", "/run/stop-pipe", "/run/disk"
_PYTHON = "/opt-python"
_ROOT_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


def make_bwrap_arguments(
    context: BootContext, programs: MachinePrograms, etc: list[str], status_fd: int
) -> list[str]:
    """Return the arguments of ``bwrap``, without the command."""
    return [
        *_isolation_arguments(context, status_fd),
        *_system_arguments(),
        *_etc_arguments(context, etc),
        *_disk_arguments(context),
        *_program_arguments(context, programs),
        *_stop_script_arguments(context),
    ]


def sshd_command(context: BootContext) -> list[str]:
    """Return the command that runs inside. A fixed-size disk is a tmpfs, so its files are copied in first."""
    sshd = [find_host_program("sshd") or "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"]
    if context.spec.disk_bytes is None:
        return sshd
    fill = f'cp -a {DISK}/home/. "$0"/; cp -a {DISK}/data/. /data/; exec "$@"'
    return ["/bin/sh", "-c", fill, get_home(context.spec.user), *sshd]


def get_python3_path() -> str:
    """Return the path of a real Python 3 inside the machine: the system's, else the running one, bind-mounted."""
    program = Path(sys.executable).resolve()
    return find_host_program("python3") or f"{_PYTHON}/bin/{program.name}"


def _isolation_arguments(context: BootContext, status_fd: int) -> list[str]:
    return [
        *("--unshare-user", "--uid", str(UID), "--gid", str(UID)),
        *("--unshare-pid", "--unshare-ipc", "--unshare-cgroup-try"),
        *("--unshare-uts", "--hostname", context.spec.hostname),
        *("--die-with-parent", "--clearenv", "--json-status-fd", str(status_fd), "--chdir", "/"),
    ]


def _system_arguments() -> list[str]:
    found = ["--ro-bind", "/usr", "/usr"]
    for name in _ROOT_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            found += ["--symlink", str(path.readlink()), str(path)]
        elif path.is_dir():
            found += ["--ro-bind", str(path), str(path)]
    found += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/tmp"]  # noqa: S108
    found += ["--perms", "1777", "--dir", "/run/screen"]
    for name in ("/etc", "/home", "/var", "/var/log"):
        found += ["--perms", "0755", "--dir", name]
    return found


def _etc_arguments(context: BootContext, own: list[str]) -> list[str]:
    found: list[str] = []
    for name in HOST_FILES:
        found += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    for name in own:
        found += ["--bind", str(context.runtime_folder / "etc" / name), f"/etc/{name}"]
    return [*found, "--ro-bind", str(context.disk.host_key), "/etc/ssh/host_key"]


def _disk_arguments(context: BootContext) -> list[str]:
    home, size = get_home(context.spec.user), context.spec.disk_bytes
    if size is None:
        return ["--bind", str(context.disk.home), home, "--bind", str(context.disk.data), "/data"]
    found: list[str] = []
    for folder, mount in ((context.disk.home, home), (context.disk.data, "/data")):
        found += ["--ro-bind", str(folder), f"{DISK}/{folder.name}", "--size", str(size), "--tmpfs", mount]
    return found


def _program_arguments(context: BootContext, programs: MachinePrograms) -> list[str]:
    found = ["--bind", str(context.disk.opt), OPT, "--bind", str(context.stop_pipe), STOP_PIPE]
    if programs.link_farm is not None:
        found += ["--ro-bind", str(programs.link_farm), programs.link_farm_inside]
    if find_host_program("python3") is None:
        found += ["--ro-bind", sys.base_prefix, _PYTHON]
    return found


def _stop_script_arguments(context: BootContext) -> list[str]:
    found: list[str] = []
    for script in context.spec.stop_scripts:
        if script.startswith("/"):
            found += ["--ro-bind", str(context.runtime_folder / "stop"), script]
    return found
