"""``doctor``: whether a machine can do the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gpurent.cli.app import App, json_option
from gpurent.cli.complete import lease_ids
from gpurent.cli.views.table import table
from gpurent.locale import N_, _

if TYPE_CHECKING:
    from gpurent.domain.health import Health
    from gpurent.workflow.trips.operations import Service

FAILED = 7
VERDICTS = {
    "ok": N_("ok"),
    "warning": N_("warning"),
    "failure": N_("FAILURE"),
    "unchecked": N_("not checked"),
}
CHECKS = {
    "driver": N_("driver"),
    "gpu": "GPU",
    "ecc": N_("GPU memory errors"),
    "busy": N_("others on the GPU"),
    "cuda": "CUDA",
    "cudnn": "cuDNN",
    "framework": N_("framework"),
    "python": "Python",
    "disk": N_("disk"),
    "disk-speed": N_("disk's speed"),
    "clock": N_("clock"),
    "network": N_("line"),
    "doctor": N_("examination"),
}
_COLOURS = {"ok": "green", "warning": "yellow", "failure": "red", "unchecked": "cyan"}


@click.command("doctor")
@click.argument("lease", shell_complete=lease_ids)
@click.option(
    "--python", default="", help=_("The Python that your job will use: python3, /opt/conda/bin/python.")
)
@json_option
@click.pass_obj
def doctor_command(app: App, lease: str, python: str) -> None:
    """Examine a machine. Exit code 7 when something failed.

    A small convolution is made forward and backward on every GPU by PyTorch or TensorFlow, where one is installed.
    Takes up to some minutes on a sick machine; what costs money, costs it meanwhile.
    """

    async def go(service: Service) -> Health:
        from gpurent.workflow.steps.doctor import examine_lease

        return await examine_lease(service.desk, lease, python)

    health = app.run(go)
    app.show({"verdict": health.verdict, **_data(health)}, lambda: health_text(health))
    if health.verdict.value == "failure":
        raise SystemExit(FAILED)


def _data(health: Health) -> dict[str, object]:
    from attrs import asdict

    return asdict(health, recurse=False)


def health_text(health: Health) -> str:
    """A line for each subject, what to do below it."""
    rows = []
    for finding in health.findings:
        verdict = finding.verdict.value
        rows.append((_(VERDICTS[verdict]), _(CHECKS.get(finding.check, finding.check)), finding.text))
    lines = table((_("verdict"), _("what"), _("finding")), rows).split("\n")
    shown = lines[:2]
    for line, finding in zip(lines[2:], health.findings, strict=True):
        shown.append(click.style(line, fg=_COLOURS[finding.verdict.value]))
        if finding.do:
            shown.append(f"    {finding.do}")
    return "\n".join(shown)
