"""The commands ``checkpoint show|unwrap|wrap`` and ``torch-helper``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import click

from gpurent.api import CommandResult, RemoteError, UsageError, describe_error
from gpurent_plugin_torch import _, gpurent_torch, ngettext

HELPER_FILE = Path(gpurent_torch.__file__)
# The first Python on the machine that has PyTorch runs the helper file, which is sent as an argument.
_REMOTE_SCRIPT = """
for python in python3 python /opt/conda/bin/python "$HOME/miniconda3/bin/python"; do
  "$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))' 2>/dev/null || continue
  exec "$python" -c "$@"
done
echo 'no Python with PyTorch is found' >&2; exit 3
"""


class CommandRunner(Protocol):
    async def run_command(self, lease_id: str, command: str) -> CommandResult: ...


class CommandApplication(Protocol):
    """The part of core's application that these commands use."""

    machine_commands: CommandRunner


class CommandContext(Protocol):
    """The context that core passes to a command."""

    as_json: bool

    def run(self, action: Callable[[CommandApplication], Awaitable[CommandResult]]) -> CommandResult: ...
    def show(self, data: object, text: str | Callable[[], str]) -> None: ...


def _set_json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj.as_json = True


_json_option = click.option(
    "--json", is_flag=True, expose_value=False, callback=_set_json, help=_("Print one JSON document.")
)
_lease_option = click.option(
    "--lease", default="", help=_("Lease whose machine has FILE; the path is relative to its home folder.")
)
_out_option = click.option("--out", "-o", default="", help=_("Output file (default: replace FILE)."))
_file_argument = click.argument("file")


def _show_examples(*lines: str) -> str:
    """Return the end of a help page, which click keeps as it is."""
    return "\n".join(("\b", _("Examples:"), *(f"  {line}" for line in lines)))


@click.group(
    "checkpoint",
    epilog=_show_examples(
        "gpurent checkpoint show model.pt", "gpurent checkpoint unwrap model.pt --out plain.pt"
    ),
)
def checkpoint_command() -> None:
    """Inspect saved weights; add or remove the module. prefix that multi-GPU wrappers add.

    No code in the file is ever run.
    """


@checkpoint_command.command(
    "show",
    epilog=_show_examples(
        "gpurent checkpoint show model.pt", "gpurent checkpoint show project/out/model.pt --lease LEASE"
    ),
)
@_file_argument
@_lease_option
@_json_option
@click.pass_obj
def show_command(app: CommandContext, file: str, lease: str) -> None:
    """List the tensors in FILE: names, shapes, types, sizes. Does not need PyTorch."""
    data = _run_on_machine(app, lease, "show", file) if lease else _describe_file(Path(file))
    app.show(data, lambda: _format_description(data))


@checkpoint_command.command(
    "unwrap", epilog=_show_examples("gpurent checkpoint unwrap model.pt --out plain.pt")
)
@_file_argument
@_out_option
@_lease_option
@_json_option
@click.pass_obj
def unwrap_command(app: CommandContext, file: str, out: str, lease: str) -> None:
    """Remove the module. prefix from the weights in FILE."""
    _convert_and_show(app, "unwrap", file, out, lease)


@checkpoint_command.command("wrap", epilog=_show_examples("gpurent checkpoint wrap plain.pt --out model.pt"))
@_file_argument
@_out_option
@_lease_option
@_json_option
@click.pass_obj
def wrap_command(app: CommandContext, file: str, out: str, lease: str) -> None:
    """Add the module. prefix to the weights in FILE."""
    _convert_and_show(app, "wrap", file, out, lease)


@click.command("torch-helper", epilog=_show_examples("gpurent torch-helper", "gpurent torch-helper src"))
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@_json_option
@click.pass_obj
def helper_command(app: CommandContext, folder: Path) -> None:
    """Copy gpurent_torch.py into FOLDER so that your script can import it; it is uploaded with your code.

    The file is yours to edit. It only needs PyTorch.
    """
    target = folder / HELPER_FILE.name
    text = HELPER_FILE.read_text("utf-8")
    if target.exists() and target.read_text("utf-8", "replace") != text:
        raise UsageError(
            _("{path} already exists with different content").format(path=target),
            hint=_("Move or rename it first."),
        )
    target.write_text(text, "utf-8")
    app.show(
        {"file": str(target)}, f"from {HELPER_FILE.stem} import device, load, parallelize, sampler, save"
    )


def _describe_file(path: Path) -> dict[str, Any]:
    from gpurent_plugin_torch.checkpoint_reader import (
        CheckpointRefused,
        TensorInfo,
        read_checkpoint,
        walk_leaves,
    )

    try:
        checkpoint = read_checkpoint(path)
        found = list(walk_leaves(checkpoint))
    except OSError as error:
        raise UsageError(f"{path}: {describe_error(error)}") from None
    except CheckpointRefused as error:
        raise UsageError(
            _("cannot show {path}: {why}").format(path=path, why=_to_printable(str(error))),
            hint=_("Only weights and plain values are read; anything that could run code is refused."),
        ) from None
    tensors = [(names, value) for names, value in found if isinstance(value, TensorInfo)]
    if not tensors:
        raise UsageError(_("{path} contains no tensors").format(path=path))
    try:
        place, state = gpurent_torch.find_weights(checkpoint)
    except ValueError:
        place, state = (), {}
    shown = {(*place, name) for name in state}
    return {
        "file": str(path),
        "key_path": list(place),
        "prefix": gpurent_torch.find_prefix(state),
        "tensors": [
            {
                "name": _to_printable("/".join(names[len(place) :] if names in shown else names)),
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "bytes": tensor.size,
            }
            for names, tensor in tensors
            if names in shown or not shown
        ],
        "others": sorted(
            {_to_printable(names[0]) for names, _value in found if names and names not in shown}
        ),
    }


def _to_printable(text: str) -> str:
    """Return the text without anything that could control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def _format_description(data: dict[str, Any]) -> str:
    rows = [
        (
            str(tensor["name"]),
            "x".join(map(str, tensor["shape"])) or "-",
            str(tensor["dtype"]),
            _format_size(tensor["bytes"]),
        )
        for tensor in data["tensors"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    total = sum(tensor["bytes"] for tensor in data["tensors"])
    text = ngettext("{n} tensor, {size}", "{n} tensors, {size}", len(rows))
    lines.append(text.format(n=len(rows), size=_format_size(total)))
    if data["key_path"]:
        lines.append(_("under: {place}").format(place=" / ".join(data["key_path"])))
    if data["others"]:
        lines.append(_("also in the file: {names}").format(names=", ".join(data["others"][:20])))
    if data["prefix"]:
        told = _(
            "Every name starts with {prefix}: saved from a wrapped model. To remove the prefix: "
            "gpurent checkpoint unwrap FILE"
        )
        lines.append(told.format(prefix=data["prefix"]))
    return "\n".join(lines)


def _format_size(number: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number} {unit}"
        number //= 1024
    return f"{number} GiB"


def _convert_and_show(app: CommandContext, what: str, file: str, out: str, lease: str) -> None:
    target = out or file
    data = (
        _run_on_machine(app, lease, what, file, "-o", target) if lease else _convert_local(what, file, target)
    )
    text = ngettext(
        "{n} tensor in {file}; prefix now: {prefix}",
        "{n} tensors in {file}; prefix now: {prefix}",
        data["tensors"],
    )
    app.show(data, text.format(n=data["tensors"], file=data["file"], prefix=data["prefix"] or _("none")))


def _convert_local(what: str, file: str, target: str) -> dict[str, Any]:
    if not Path(file).is_file():
        raise UsageError(_("{path} is not a file").format(path=file))
    if find_spec("torch") is None:
        raise UsageError(
            _("writing weights needs PyTorch, which is not installed here"),
            hint=_("Do it on the machine: gpurent checkpoint {what} FILE --lease LEASE").format(what=what),
        )
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):  # about a missing NumPy, for example
            return gpurent_torch.convert_file(file, target, what == "wrap")
    except Exception as error:  # noqa: BLE001 - whatever PyTorch thinks of the file
        why = _to_printable(str(error).split("\n")[0])
        raise UsageError(_("{path} was not changed: {why}").format(path=file, why=why)) from None


def _run_on_machine(app: CommandContext, lease: str, *arguments: str) -> dict[str, Any]:
    """Run the helper file with the machine's own PyTorch."""
    words = ("sh", "-c", _REMOTE_SCRIPT, "gpurent-checkpoint", HELPER_FILE.read_text("utf-8"), *arguments)
    ran = app.run(lambda application: application.machine_commands.run_command(lease, shlex.join(words)))
    try:
        if ran.exit_status:
            raise ValueError
        data = json.loads(ran.stdout.strip().rpartition("\n")[2])
        if not isinstance(data, dict):
            raise TypeError
    except (ValueError, TypeError):
        said = _to_printable((ran.stderr or ran.stdout).strip().rpartition("\n")[2])
        raise RemoteError(_("failed on the machine: {said}").format(said=said or ran.exit_status)) from None
    return data
