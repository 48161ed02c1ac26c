"""The project file on the command line: which one is used, and the trip that it describes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import click

from gpurent.domain.offer import Requirements
from gpurent.domain.trip import OnError, Packages, Rules, TripSpec
from gpurent.errors import UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.app import App
    from gpurent.domain.project import Project


def chosen(app: App, given: Path | None, nothing: bool) -> Project | None:
    """The file that was named, else the nearest one; said on stderr, so that nobody uses one unawares."""
    from gpurent.infra.config.project_file import find, read

    if nothing:
        if given is not None:
            raise UsageError(_("--project and --no-project exclude each other"))
        return None
    path = given or find(Path.cwd(), Path.home())
    if path is None:
        return None
    project = read(path)
    if not app.as_json:
        click.secho(f"· {path}", fg="blue", err=True)
    return project


def want_from(project: Project) -> TripSpec:
    """The trip of a project file alone."""
    gpu, setup, guard = project.gpu, project.setup, project.guard
    listed = setup.pip if isinstance(setup.pip, tuple) else ()
    packages = Packages(
        requirements=setup.pip if isinstance(setup.pip, str) else "", pip=listed, conda=setup.conda
    )
    files = tuple(name for name in (packages.requirements, packages.conda) if name)
    everything = setup.needs is None or "." in setup.needs
    needs = None if everything else tuple(dict.fromkeys((*(setup.needs or ()), *files)))
    return TripSpec(
        wish=Requirements(
            gpu=gpu.name,
            gpus=gpu.count,
            key=gpu.machine,
            gpu_memory=gpu.memory,
            memory=gpu.ram,
            cpus=gpu.cpus,
        ),
        providers=tuple(dict.fromkeys(project.providers)),
        term=project.term,
        budget=project.budget,
        command=project.command,
        folder=project.folder,
        inputs=_with_files(project.inputs, needs or files),
        results=project.outputs,
        home=str(Path(project.folder, project.home)) if project.home else "",
        session=project.session,
        transfer=project.transfer,
        launcher=project.launcher,
        name=project.name,
        staged=project.staged,
        disk=project.disk,
        keep=bool(project.keep),
        on_error=OnError(project.on_error or OnError.RELEASE.value),
        setup=setup.commands,
        packages=packages,
        needs=needs,
        rules=Rules(
            deadline_in=project.deadline if isinstance(project.deadline, timedelta) else None,
            deadline_at=project.deadline if isinstance(project.deadline, datetime) else None,
            idle=guard.idle,
            idle_load=guard.idle_load,
            after_job=guard.after_job,
            timer=guard.timer,
            save_before=guard.save_before,
        ),
        notify=project.notify.events,
    )


def _with_files(inputs: tuple[str, ...], needed: tuple[str, ...]) -> tuple[str, ...]:
    """What the setup reads goes up too. The whole folder is no list."""
    if not inputs or "." in inputs:
        return ()
    found = [PurePosixPath(name) for name in dict.fromkeys(inputs)]
    for name in needed:
        if name and not any(PurePosixPath(name).is_relative_to(item) for item in found):
            found.append(PurePosixPath(name))
    return tuple(
        str(path) for path in found if not any(path != item and path.is_relative_to(item) for item in found)
    )


def checked(app: App, want: TripSpec) -> TripSpec:
    """All that can be known to be wrong before anything is rented: names of plugins, files, the session's name."""
    for name in want.providers:
        app.registry.get("lease", name)
    for kind in ("transfer", "session", "launcher"):
        if name := getattr(want, kind):
            app.registry.get(kind, name)
    files = (want.packages.requirements, want.packages.conda, *(want.needs or ()))
    for name in (*want.inputs, *(name for name in files if name)):
        if not Path(want.folder, name).exists():
            raise UsageError(
                _("{name} does not exist in {folder}").format(name=name, folder=want.folder),
                hint=_("Nothing was rented."),
            )
    if want.rules.deadline_at is not None and want.rules.deadline_at <= datetime.now(UTC):
        raise UsageError(
            _("that time has passed"), hint=f"deadline: {want.rules.deadline_at:%Y-%m-%d %H:%M} UTC"
        )
    if want.name:
        _session_name(want.name)
    return want


def _session_name(name: str) -> None:
    import re

    from gpurent.domain.session import NAME

    if not re.fullmatch(NAME, name):
        raise UsageError(
            _("{name} is no name for a session").format(name=repr(name)[:60]),
            hint=_("Letters, digits, - and _, at most 41 of them."),
        )
