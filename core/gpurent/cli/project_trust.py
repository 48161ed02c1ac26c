"""The one door for project files: what makes a trip from one asks first whether the file is trusted.

The file came with the folder, perhaps from somebody else. It decides what is uploaded, what runs with the user's money,
and where downloads are written. `-y` does not answer this question.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve

from gpurent.cli.context import CliContext
from gpurent.cli.output import write_line
from gpurent.domain.filenames import escape_path
from gpurent.domain.project import ProjectFile, ProjectTrust
from gpurent.errors import Declined, InputRequired, UsageError
from gpurent.locale import _

if TYPE_CHECKING:
    from gpurent.cli.views.project import ProjectReview
    from gpurent.domain.trip import TripSpec
    from gpurent.workflow.trips.project_limits import ComparedLimit


def find_project(project: Path | None, no_project: bool = False) -> ProjectFile | None:
    """Read the file ``project``, else the nearest one; None if there is none, or none is wanted."""
    from gpurent.composition.files import find_project_file, read_project_file

    if no_project:
        if project is not None:
            raise UsageError(_("--project and --no-project cannot be used together"))
        return None
    home = Path.home()
    path = project or find_project_file(Path.cwd(), home)
    return read_project_file(path, datetime.now(UTC), home.resolve()) if path is not None else None


def require_trust(app: CliContext, project: ProjectFile) -> None:
    """Return if the user trusts exactly this file, now or since earlier; else ask. ``-y`` is no answer.

    Raises `InputRequired` if nobody is there, `Declined` if the answer is no; nothing was begun then.
    """
    from gpurent.composition.projects import trusted_projects

    trust = trusted_projects().get_trust(project)
    if trust is not ProjectTrust.TRUSTED:
        ask_for_trust(app, project, trust)


def ask_for_trust(app: CliContext, project: ProjectFile, trust: ProjectTrust) -> None:
    """Show what the file decides, ask whether it is trusted, and record a yes."""
    from gpurent.cli.interrupts import StopRequests
    from gpurent.cli.terminal import UserTerminal
    from gpurent.composition.projects import trusted_projects
    from gpurent.domain.question import Question, QuestionKind

    terminal = UserTerminal(quiet=app.as_json, no_input=app.no_input)
    path = escape_path(str(project.path))
    details = _describe_decisions(app, project, trust)
    if not terminal.is_interactive:
        for line in details:
            write_line(line, indent=2, err=True)
        raise _make_unattended_error(project)
    question = Question(
        id=f"trust-project:{project.sha256}",
        kind=QuestionKind.TRUST,
        text=_("Trust {path} until it changes?").format(path=path),
        details=tuple(details),
    )
    if not StopRequests().run(terminal.confirm(question)):
        raise Declined(
            _("{path} is not trusted; nothing was begun").format(path=path),
            hint=_("Make the trip without it: --no-project"),
        )
    trusted_projects().trust(project, datetime.now(UTC))


def _describe_decisions(app: CliContext, project: ProjectFile, trust: ProjectTrust) -> Sequence[str]:
    from gpurent.cli.views.project import format_project
    from gpurent.domain.trip_values import make_trip_spec

    path = escape_path(str(project.path))
    first = (
        _("{path} has changed since you trusted it. This is what it decides now.")
        if trust is ProjectTrust.CHANGED
        else _("{path} is not trusted yet. This is what it decides.")
    )
    spec = evolve(make_trip_spec(project.values), project=project.make_origin(project.written))
    limits = compare_limits(app, spec)
    return [first.format(path=path), *_describe_owner(project), *format_project(project, limits)]


def _describe_owner(project: ProjectFile) -> Sequence[str]:
    from gpurent.composition.users import find_user_name, get_user_number

    if project.owner == get_user_number():
        return ()
    text = _("The file belongs to another user, {user}.")
    return [text.format(user=find_user_name(project.owner))]


def _make_unattended_error(project: ProjectFile) -> InputRequired:
    path = escape_path(str(project.path))
    trust = _("If you trust what it decides: gpurent trust --sha256 {hash} {file}").format(
        hash=project.sha256, file=shlex.quote(path)
    )
    return InputRequired(
        _("{path} is not trusted, and nobody is here to be asked; nothing was begun").format(path=path),
        hint=f"{_('Make the trip without it: --no-project')}\n{trust}",
        retryable=True,
    )


def review_project(app: CliContext, project: ProjectFile, spec: TripSpec) -> ProjectReview:
    """Return the file beside what the user trusts and has set, for the preview of the trip ``spec``."""
    from gpurent.cli.views.project import ProjectReview
    from gpurent.composition.projects import trusted_projects

    trust = trusted_projects().get_trust(project)
    return ProjectReview(project=project, trust=trust, limits=compare_limits(app, spec), spec=spec)


def show_ignored_limits(app: CliContext, project: ProjectFile, spec: TripSpec) -> None:
    """Say which limits of the file are ignored, since the user's own are tighter."""
    from gpurent.cli.views.project import format_ignored

    for line in format_ignored(project, compare_limits(app, spec)):
        write_line(line, colour="yellow", err=True)


def compare_limits(app: CliContext, spec: TripSpec) -> Sequence[ComparedLimit]:
    from gpurent.composition.projects import compare_project_limits

    return compare_project_limits(app.registry, spec)
