"""``gpurent`` and ``python -m gpurent``."""

from __future__ import annotations

import atexit
import gc


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the command's exit code."""
    # Startup, imports included, creates many objects but hardly any garbage, and the process exit frees all of them.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    from gpurent.cli.main import main as run_command

    run_command(arguments)


if __name__ == "__main__":
    main()
