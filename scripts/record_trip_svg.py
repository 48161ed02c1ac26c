"""Record a trip in the sandbox as ``docs/trip.svg``: ``python scripts/record_trip_svg.py``. Needs `make setup`."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
COLUMNS = 92
TRIP_COMMAND = (
    "run --provider 1024gpu --gpu 2080Ti --for 1d --budget 200000DBC "
    "--results out --results-dir {home} -- train.py"
)


def run_gpurent(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "gpurent", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def record_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """Return what a terminal with `COLUMNS` columns shows of the command."""
    seen = bytearray()

    def read(handle: int) -> bytes:
        chunk = os.read(handle, 4096)
        seen.extend(chunk)
        return chunk

    os.environ.update(environment, COLUMNS=str(COLUMNS), TERM="xterm-256color")
    os.chdir(ROOT / "examples" / "digits")
    pty.spawn([sys.executable, "-m", "gpurent", *arguments], read)
    return seen.decode("utf-8", "replace")


def render_svg(shown: str, title: str) -> str:
    console = Console(record=True, width=COLUMNS, file=Path(os.devnull).open("w"), force_terminal=True)  # noqa: SIM115
    for line in shown.replace("\r\n", "\n").split("\n"):
        if "━" not in line:
            # A progress bar that the terminal erased again.
            console.print(Text.from_ansi(line.rpartition("\r")[2]))
    # No external font: the picture must be self-contained.
    layout = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title=title, code_format=layout)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = f"{folder}/world"
        run_gpurent("sandbox", "up", "--root", world, "--speed", "120")
        try:
            lines = re.findall(r"export (\w+)=(\S+)", run_gpurent("sandbox", "env", "--root", world))
            environment = {**dict(lines), "LANG": "C.UTF-8"}
            account = json.loads(run_gpurent("login", "1024gpu", "--json", **environment))["data"]["account"]
            gift = json.dumps({"address": account, "amount": "90000"}).encode()
            request = urllib.request.Request(  # noqa: S310 - the sandbox's own address
                f"{environment['GPURENT_DBC_URL']}/sandbox/faucet",
                gift,
                {"Content-Type": "application/json"},
            )
            urllib.request.urlopen(request).close()  # noqa: S310
            command = TRIP_COMMAND.format(home=f"{folder}/home")
            (Path(folder) / "home").mkdir()
            shown = record_terminal(command.split(), environment)
        finally:
            os.chdir(ROOT)
            run_gpurent("sandbox", "down", "--root", world)
    title = f"gpurent {TRIP_COMMAND.replace(' --results-dir {home}', '')}"
    (ROOT / "docs" / "trip.svg").write_text(render_svg(shown, title), "utf-8")


if __name__ == "__main__":
    main()
