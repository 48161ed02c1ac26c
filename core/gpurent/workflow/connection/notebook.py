"""A notebook server on a machine: found or installed, started as a job of its own, and known by its runtime file."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shlex
from time import monotonic
from typing import Any

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.secret import Secret
from gpurent.domain.session import Job, JobState
from gpurent.errors import JobError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.workflow.connection.jobs import jobs
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk

START = 60.0
INSTALL = 900.0
FIRST_PORT = 8888
_MARK = "gpurent-notebook"
_PATH = 'PATH="$HOME/.gpurent/jupyter/bin:$HOME/.local/bin:$PATH"; export PATH'

# lab, or notebook, or nothing; what the machine's own start files print comes before the mark.
_FIND = rf"""{_PATH}
for app in lab notebook; do
  if jupyter "$app" --version >/dev/null 2>&1; then echo {_MARK} "$app"; break; fi
done
"""

# A Python that its system keeps for itself takes packages only in an environment.
_INSTALL = r"""
if @python@ -m pip install --quiet --disable-pip-version-check --user jupyterlab; then exit 0; fi
@python@ -m venv --system-site-packages "$HOME/.gpurent/jupyter" &&
"$HOME/.gpurent/jupyter/bin/python" -m pip install --quiet --disable-pip-version-check jupyterlab
"""

_LATEST = f"""cd "$HOME/.gpurent/jobs" 2>/dev/null || exit 0
ls -d jupyter-* 2>/dev/null | sed -n 's/^jupyter-\\([0-9][0-9]*\\)$/{_MARK} \\1/p'
"""

_RUNTIME = f"""cd "$HOME/.gpurent/jobs/@name@/runtime" 2>/dev/null || exit 0
for file in jpserver-*.json nbserver-*.json; do
  if [ -s "$file" ]; then echo {_MARK} "$(tr -d '\\n' < "$file")"; break; fi
done
"""


@frozen(kw_only=True)
class Notebook:
    """A server that runs: ``port`` on the machine's loopback, ``app`` is lab or notebook."""

    job: str
    app: str
    port: int
    token: Secret
    fresh: bool

    def url(self, host: str, port: int) -> str:
        """With the token: whoever has it can run code on the machine."""
        place = "lab" if self.app == "lab" else "tree"
        return f"http://{host}:{port}/{place}?token={self.token.reveal()}"


class Notebooks:
    """Of one lease, over one line."""

    def __init__(self, desk: Desk, line: ReconnectingConnection, session: str = "") -> None:
        self._desk = desk
        self._line = line
        self._session = session

    async def ready(self, *, install: bool) -> Notebook:
        """The one that runs, or a new one; a missing program is installed by consent."""
        name = await self.running()
        if name:
            app = await self._find() or "lab"
            return await self._known(name, app, fresh=False)
        app = await self._find()
        if not app:
            await self._install(agreed=install)
            app = await self._find()
        if not app:
            raise JobError(_("jupyter was installed, but does not start on the machine"))
        number = max(await self._numbers(), default=0) + 1
        job = self._job(f"jupyter-{number}", app)
        await self._line.do(lambda link: self._jobs(link).start(job))
        return await self._known(job.name, app, fresh=True)

    async def running(self) -> str:
        """The job of the server that runs, empty if none does."""
        for number in sorted(await self._numbers(), reverse=True):
            name = f"jupyter-{number}"
            status = await self._line.do(lambda link, name=name: self._jobs(link).status(name))  # type: ignore[misc]
            if status.state is JobState.RUNNING:
                return name
        return ""

    async def stop(self) -> str:
        """End the server that runs; its job's name, empty if there was none."""
        name = await self.running()
        if name:
            await self._line.do(lambda link: self._jobs(link).stop(name))
        return name

    def _jobs(self, link: SshConnection) -> Any:
        return jobs(self._desk, link, self._line.lease, self._session)

    async def _marked(self, script: str, timeout: float = 60.0) -> list[str]:
        """What ``script`` says after our mark, a line each."""
        ran = await self._line.do(lambda link: link.run(f"sh -c {shlex.quote(script)}", timeout=timeout))
        return re.findall(rf"^{_MARK} (.*)$", ran.out, re.MULTILINE)

    async def _find(self) -> str:
        found = await self._marked(_FIND)
        return found[0] if found and found[0] in ("lab", "notebook") else ""

    async def _numbers(self) -> list[int]:
        return [int(text) for text in await self._marked(_LATEST) if re.fullmatch("[0-9]{1,6}", text)]

    async def _install(self, *, agreed: bool) -> None:
        question = _("There is no jupyter on the machine. Install JupyterLab there with pip?")
        if not agreed and not self._desk.ui.confirm(question):
            raise UsageError(
                _("there is no jupyter on the machine"),
                hint=_("Let gpurent install it: --install"),
            )
        self._tell(_("installing JupyterLab; this takes some minutes"))
        python = self._desk.profile_of(self._line.lease).python
        script = _INSTALL.replace("@python@", shlex.quote(python))
        ran = await self._line.do(lambda link: link.run(f"sh -c {shlex.quote(script)}", timeout=INSTALL))
        if ran.status:
            from gpurent.domain.terminal_text import strip_terminal

            said = strip_terminal(ran.err or ran.out).strip()
            raise JobError(
                _("JupyterLab could not be installed: {said}").format(said=said.rpartition("\n")[2][:200]),
                detail=said[-1000:],
            )

    def _job(self, name: str, app: str) -> Job:
        """The token goes by the environment: an argument list is for everyone on the machine to read."""
        command = (
            f'{_PATH}; JUPYTER_RUNTIME_DIR="$HOME/.gpurent/jobs/{name}/runtime"; export JUPYTER_RUNTIME_DIR; '
            f'root=; [ "$(id -u)" != 0 ] || root=--allow-root; '
            f"exec jupyter {app} --no-browser --ip=127.0.0.1 --port={FIRST_PORT} $root"
        )
        return Job(name=name, command=command, env={"JUPYTER_TOKEN": secrets.token_hex(24)})

    async def _known(self, name: str, app: str, *, fresh: bool) -> Notebook:
        """Wait for the server's own runtime file, which says the port and the token."""
        deadline = monotonic() + START
        while True:
            for text in await self._marked(_RUNTIME.replace("@name@", name)):
                port, token = _runtime(text)
                if port:
                    self._desk.redactor.register(Secret(token))
                    return Notebook(job=name, app=app, port=port, token=Secret(token), fresh=fresh)
            status = await self._line.do(lambda link: self._jobs(link).settle(name, 0))
            if status.state is not JobState.RUNNING or monotonic() > deadline:
                raise JobError(
                    _("jupyter did not start: {reason}").format(reason=status.reason or status.state.value),
                    hint=_("See: gpurent logs {lease} {name}").format(lease=self._line.lease.id, name=name),
                )
            await asyncio.sleep(0.5)

    def _tell(self, text: str) -> None:
        self._desk.tell(EventKind.WAITING, text, lease=self._line.lease.id)


def _runtime(text: str) -> tuple[int, str]:
    """Port and token of a server's runtime file; (0, "") when it is not whole yet, or not sensible."""
    try:
        found = json.loads(text)
        port, token = int(found["port"]), str(found["token"])
    except (ValueError, KeyError, TypeError):
        return 0, ""
    return (port, token) if 0 < port < 65536 and re.fullmatch(r"[A-Za-z0-9_-]{1,200}", token) else (0, "")
