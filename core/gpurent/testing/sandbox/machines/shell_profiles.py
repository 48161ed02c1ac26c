"""The shell start-up files in a machine's home."""

from pathlib import Path

from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.programs import MACHINE_FILES

_MARK = "# Written by the machine at boot."


def write_shell_profiles(home: Path, spec: MachineSpec, search_path: str) -> None:
    """Write ``.profile`` (PATH survives a login shell) and ``.bashrc`` (the prompt), unless the user replaced them."""
    facts = {"PATH": search_path, "USER": spec.user, "HOSTNAME": spec.hostname}
    facts["SIGN"] = "#" if spec.user == "root" else "$"
    for name in ("profile", "bashrc"):
        text = (MACHINE_FILES / name).read_text()
        for key, value in facts.items():
            text = text.replace(f"@{key}@", value)
        path = home / f".{name}"
        if path.is_symlink():
            continue
        if not path.exists() or path.read_text(errors="replace").startswith(_MARK):
            path.write_text(text)
