"""``checkpoint show|unwrap|wrap`` and ``torch-helper``."""

from __future__ import annotations

import json
import shlex
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import click

from gpurent.api import RemoteError, UsageError
from gpurent_plugin_torch import _, gpurent_torch

HELPER = Path(gpurent_torch.__file__)
# The first Python of the machine that has PyTorch runs this plugin's one file, sent as an argument.
_FAR = """
for python in python3 python /opt/conda/bin/python "$HOME/miniconda3/bin/python"; do
  "$python" -c 'import importlib.util as u, sys; sys.exit(not u.find_spec("torch"))' 2>/dev/null || continue
  exec "$python" -c "$@"
done
echo 'no Python with PyTorch is found' >&2; exit 3
"""


class App(Protocol):
    """What core hands to a command."""

    as_json: bool

    def run(self, action: Callable[[Any], Awaitable[Any]]) -> Any: ...
    def show(self, data: object, text: str | Callable[[], str]) -> None: ...


def _json(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        ctx.obj.as_json = True


_JSON = click.option("--json", is_flag=True, expose_value=False, callback=_json, help=_("One JSON document."))
_LEASE = click.option(
    "--lease", default="", help=_("FILE lies on this machine; a path from its home folder.")
)
_OUT = click.option("--out", "-o", default="", help=_("Another file; else FILE itself is replaced."))
_FILE = click.argument("file")


@click.group("checkpoint")
def checkpoint_command() -> None:
    """Look into saved weights, and add or remove the module. prefix of several GPUs.

    No code in the file is ever run.
    """


@checkpoint_command.command("show")
@_FILE
@_LEASE
@_JSON
@click.pass_obj
def show_command(app: App, file: str, lease: str) -> None:
    """List the tensors of FILE: names, shapes, types, sizes. PyTorch is not needed for it."""
    data = _far(app, lease, "show", file) if lease else _described(Path(file))
    app.show(data, lambda: _text(data))


@checkpoint_command.command("unwrap")
@_FILE
@_OUT
@_LEASE
@_JSON
@click.pass_obj
def unwrap_command(app: App, file: str, out: str, lease: str) -> None:
    """Take the module. prefix off all weights of FILE, for a bare net."""
    _rename(app, "unwrap", file, out, lease)


@checkpoint_command.command("wrap")
@_FILE
@_OUT
@_LEASE
@_JSON
@click.pass_obj
def wrap_command(app: App, file: str, out: str, lease: str) -> None:
    """Put the module. prefix before all weights of FILE, for a wrapped net."""
    _rename(app, "wrap", file, out, lease)


@click.command("torch-helper")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path())
@_JSON
@click.pass_obj
def helper_command(app: App, folder: Path) -> None:
    """Put gpurent_torch.py into FOLDER, where your script imports it; it travels with your code.

    The file is yours from then on. It needs PyTorch alone.
    """
    target = folder / HELPER.name
    text = HELPER.read_text("utf-8")
    if target.exists() and target.read_text("utf-8", "replace") != text:
        raise UsageError(
            _("{path} is there already, and is another one").format(path=target),
            hint=_("Move it away first."),
        )
    target.write_text(text, "utf-8")
    app.show({"file": str(target)}, f"from {HELPER.stem} import device, load, parallelize, sampler, save")


def _described(path: Path) -> dict[str, Any]:
    from gpurent_plugin_torch.reader import Refused, Tensor, leaves, read

    try:
        checkpoint = read(path)
        found = list(leaves(checkpoint))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    except Refused as error:
        raise UsageError(
            _("{path} cannot be shown: {why}").format(path=path, why=_plain(str(error))),
            hint=_("Only weights and plain values are read; whatever could run code is refused."),
        ) from None
    tensors = [(names, value) for names, value in found if isinstance(value, Tensor)]
    if not tensors:
        raise UsageError(_("{path} holds no tensors").format(path=path))
    try:
        place, state = gpurent_torch.find_weights(checkpoint)
    except ValueError:
        place, state = (), {}
    shown = {(*place, name) for name in state}
    return {
        "file": str(path),
        "place": list(place),
        "prefix": gpurent_torch.prefix_of(state),
        "tensors": [
            {
                "name": _plain("/".join(names[len(place) :] if names in shown else names)),
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "bytes": tensor.size,
            }
            for names, tensor in tensors
            if names in shown or not shown
        ],
        "others": sorted({_plain(names[0]) for names, _value in found if names and names not in shown}),
    }


def _plain(text: str) -> str:
    """Nothing that could steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:200]


def _text(data: dict[str, Any]) -> str:
    rows = [
        (
            str(tensor["name"]),
            "x".join(map(str, tensor["shape"])) or "-",
            str(tensor["dtype"]),
            _size(tensor["bytes"]),
        )
        for tensor in data["tensors"]
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(4)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    total = sum(tensor["bytes"] for tensor in data["tensors"])
    lines.append(_("{n} tensors, {size}").format(n=len(rows), size=_size(total)))
    if data["place"]:
        lines.append(_("under: {place}").format(place=" / ".join(data["place"])))
    if data["others"]:
        lines.append(_("beside them: {names}").format(names=", ".join(data["others"][:20])))
    if data["prefix"]:
        told = _(
            "Every name begins with {prefix}: saved from a wrapped net. For a bare one: gpurent checkpoint unwrap"
        )
        lines.append(told.format(prefix=data["prefix"]))
    return "\n".join(lines)


def _size(number: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if number < 1024:
            return f"{number} {unit}"
        number //= 1024
    return f"{number} GiB"


def _rename(app: App, what: str, file: str, out: str, lease: str) -> None:
    target = out or file
    data = _far(app, lease, what, file, "-o", target) if lease else _renamed(what, file, target)
    text = _("{n} tensors in {file}; prefix now: {prefix}")
    app.show(data, text.format(n=data["tensors"], file=data["file"], prefix=data["prefix"] or _("none")))


def _renamed(what: str, file: str, target: str) -> dict[str, Any]:
    if not Path(file).is_file():
        raise UsageError(_("{path} is no file").format(path=file))
    if find_spec("torch") is None:
        raise UsageError(
            _("to write weights PyTorch is needed, and it is not installed here"),
            hint=_("Let the machine do it: gpurent checkpoint {what} FILE --lease LEASE").format(what=what),
        )
    import warnings

    try:
        with warnings.catch_warnings(action="ignore"):  # of a missing NumPy, for one
            return gpurent_torch.rename(file, target, what == "wrap")
    except Exception as error:  # noqa: BLE001 - whatever PyTorch thinks of the file
        why = _plain(str(error).split("\n")[0])
        raise UsageError(_("{path} stays as it is: {why}").format(path=file, why=why)) from None


def _far(app: App, lease: str, *arguments: str) -> dict[str, Any]:
    """The same by the machine's own PyTorch."""
    words = ("sh", "-c", _FAR, "gpurent-checkpoint", HELPER.read_text("utf-8"), *arguments)
    ran = app.run(lambda service: service.ask(lease, shlex.join(words)))
    try:
        if ran.status:
            raise ValueError
        data = json.loads(ran.out.strip().rpartition("\n")[2])
        if not isinstance(data, dict):
            raise TypeError
    except (ValueError, TypeError):
        said = _plain((ran.err or ran.out).strip().rpartition("\n")[2])
        raise RemoteError(_("the machine could not do it: {said}").format(said=said or ran.status)) from None
    return data
