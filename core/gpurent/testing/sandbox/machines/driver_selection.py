"""Selection of the driver that works on this computer."""

import os
import sys
import tempfile
from pathlib import Path

from gpurent.child_processes import run_program
from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.testing.load_timeouts import load_factor
from gpurent.testing.sandbox.machines.model import DriverName, MachineDriver, MachineError, MachineSpec

_PROBE_SECONDS = 10


async def select_driver(name: DriverName, root: Path, link_farms: Path | None = None) -> MachineDriver:
    """Return a driver that keeps its machines below ``root``, the sandbox's state folder (made 0700).

    ``link_farms``: where it keeps links to the host's programs; below ``root`` by default.

    ``auto`` takes ``bwrap`` if a trial machine boots, else ``embedded`` with its ``fallback_reason`` set; but never for
    root, whose machines would then be root on this computer. Raises ``UsageError`` then, and if ``bwrap`` is
    requested and cannot work.
    """
    from gpurent.testing.sandbox.machines.embedded_driver import EmbeddedDriver

    if name == "embedded":
        return EmbeddedDriver(root, link_farms)
    reason = await find_bwrap_problem()
    if not reason:
        from gpurent.testing.sandbox.machines.bwrap_driver import BwrapDriver

        return BwrapDriver(root, link_farms)
    if name == "bwrap" or is_root():
        raise UsageError(
            _("isolated machines cannot run here: {reason}").format(reason=reason),
            hint=_(
                "Machines that are not isolated are processes of yours with all your rights;"
                " to use them: --driver embedded"
            ),
        )
    driver = EmbeddedDriver(root, link_farms)
    driver.fallback_reason = reason
    return driver


def is_root() -> bool:
    """Return whether a process of ours may do anything on this computer."""
    return os.geteuid() == 0


async def find_bwrap_problem() -> str:
    """Return why bubblewrap machines cannot run on this computer; empty if they can."""
    from gpurent.testing.sandbox.machines.bwrap_etc import has_libcrypt
    from gpurent.testing.sandbox.machines.programs import find_host_program

    if sys.platform != "linux":
        return "they need Linux"
    for program, package in (("bwrap", "bubblewrap"), ("sshd", "openssh-server"), ("bash", "bash")):
        if find_host_program(program) is None:
            return f"{program} is not installed (package {package})"
    if not has_libcrypt():
        return "libcrypt is not installed"
    return _find_namespace_problem() or await _find_boot_problem()


def _find_namespace_problem() -> str:
    probe = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "true"]
    try:
        # Blocks for a few milliseconds, once.
        done = run_program(probe, environment={}, timeout=_PROBE_SECONDS * load_factor())
    except (OSError, TimeoutError) as problem:
        return f"bwrap does not run: {problem}"
    if done.returncode != 0:
        return f"user namespaces are not allowed: {done.stderr.strip() or done.returncode}"
    return ""


async def _find_boot_problem() -> str:
    from gpurent.testing.sandbox.machines.bwrap_driver import BwrapDriver

    with tempfile.TemporaryDirectory(prefix="gpr-probe-", dir="/tmp") as folder:
        driver = BwrapDriver(Path(folder))
        try:
            await driver.boot(MachineSpec(user="probe", password="probe", hostname="probe", data="probe"))
        except (MachineError, OSError) as problem:
            return f"a trial machine did not come up: {str(problem).strip()[-300:]}"
        finally:
            await driver.close()
    return ""
