"""``connect``: answers the question whether a machine is the one that was rented."""

from __future__ import annotations

import re

import click

from gpurent.cli.arguments import lease_argument
from gpurent.cli.context import CliContext, json_option
from gpurent.cli.params import ParsedParam
from gpurent.locale import N_, _

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?", re.ASCII)


def _parse_fingerprint(text: str) -> str:
    """Return the fingerprint of a host key; raises `ValueError` for anything else."""
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError(text)
    return text


FINGERPRINT = ParsedParam(
    "fingerprint", _parse_fingerprint, N_("{text} is not a fingerprint; it looks like SHA256:47DEQpj8HBSa+/…")
)


@click.command("connect")
@lease_argument
@click.option(
    "--fingerprint",
    type=FINGERPRINT,
    metavar="SHA256:…",
    help=_("The fingerprint of its host key: connect to a machine that shows this one, without asking."),
)
@json_option
@click.pass_obj
def connect_command(app: CliContext, lease: str, fingerprint: str | None) -> None:
    """Connect to a lease's machine once, to say that it is the one that you rented.

    gpurent asks before it connects to a machine whose access came from somewhere that is not authenticated, whose
    host key changed, or that is suddenly at another place. `-y` does not answer that. This command asks in a terminal;
    elsewhere, --fingerprint is the answer.
    """
    found = app.run(lambda application: application.contact_commands.connect(lease, fingerprint or ""))
    app.show(
        {"lease": found.lease, "endpoint": str(found.endpoint), "fingerprint": found.fingerprint},
        lambda: _("{lease} is connected: {endpoint}, host key {fingerprint}").format(
            lease=found.lease, endpoint=found.endpoint, fingerprint=found.fingerprint
        ),
    )
