"""The language that the user has chosen for the system, where no variable of the environment says it."""

import sys

if sys.platform == "win32":
    from gpurent.infra.platform.windows.language import find_system_language as find_system_language
else:

    def find_system_language() -> str:
        """Return nothing: on Linux and macOS the environment says it."""
        return ""
