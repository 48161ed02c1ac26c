"""``gpurent`` and ``python -m gpurent``."""

from __future__ import annotations

import atexit
import gc


def main(arguments: list[str] | None = None) -> None:
    """The entry point; exits with the command's code."""
    # A start makes many objects and no rubbish, and an end frees them all anyway. The imports are part of the start.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    from gpurent.cli.main import main as run_command

    run_command(arguments)


if __name__ == "__main__":
    main()
