"""The machine's /etc: one user with the rented name, the password, the SSH server's settings."""

import ctypes
import secrets
import string
from pathlib import Path

from gpurent.testing.sandbox.machines.model import MachineSpec
from gpurent.testing.sandbox.machines.programs import MACHINE_FILES

UID = 1000
"""The user id inside, mapped to the caller's. Not 0, even for ``root``: sshd would then try to change users."""
HOST_FILES = (
    "alternatives",
    "bash.bashrc",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "protocols",
    "screenrc",
    "services",
    "ssl/certs",
    "terminfo",
)
"""The only host files below /etc that a machine sees."""
_NO_PASSWORD = "*"
"""No password fits, and the account is not locked: "!" would refuse keys too."""
_SALT_CHARACTERS = string.ascii_letters + string.digits


def get_home(user: str) -> str:
    """Return the user's home folder inside the machine."""
    return "/root" if user == "root" else f"/home/{user}"


def write_etc(folder: Path, spec: MachineSpec, search: str, port: int) -> list[str]:
    """Write the machine's own files below ``folder`` (0600) and return their names, relative to /etc."""
    user, home = spec.user, get_home(spec.user)
    nobody = "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    root = "" if user == "root" else "root:x:0:0:root:/root:/bin/bash\n"
    hashed = _hash_password(spec.password) if spec.password else _NO_PASSWORD
    files = {
        "passwd": f"{root}{user}:x:{UID}:{UID}:{user}:{home}:{spec.login_shell}\n{nobody}",
        # sshd gives a terminal to group tty, and the only group that exists inside is the caller's own.
        "group": f"{user}:x:{UID}:\ntty:x:{UID}:\nnogroup:x:65534:\n",
        "shadow": f"{user}:{hashed}:{0 if spec.is_password_expired else 19000}:0:99999:7:::\n",
        "hostname": f"{spec.hostname}\n",
        "hosts": f"127.0.0.1 localhost {spec.hostname}\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
        "profile": "",
        "os-release": 'NAME="sandbox"\nID=sandbox\nPRETTY_NAME="gpurent sandbox machine"\n',
        "ssh/sshd_config": _make_sshd_config(spec) + f"Port {port}\nSetEnv PATH={search} LANG=C.UTF-8\n",
    }
    (folder / "ssh").mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
    return list(files)


def _make_sshd_config(spec: MachineSpec) -> str:
    own = [*spec.sshd_options, *(() if spec.password else ("PasswordAuthentication no",))]
    names = {line.split()[0].lower() for line in own}
    usual = (MACHINE_FILES / "sshd_config").read_text().splitlines()
    return "\n".join([*own, *(line for line in usual if line.split()[0].lower() not in names), ""])


def has_libcrypt() -> bool:
    """Return whether the host has the library that hashes passwords as sshd expects them."""
    return _load_libcrypt() is not None


def _load_libcrypt() -> ctypes.CDLL | None:
    for name in ("libcrypt.so.1", "libcrypt.so.2"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def _hash_password(password: str) -> str:
    """Return a SHA-512 crypt hash with the fewest rounds: this is no secret, and logins should be fast."""
    library = _load_libcrypt()
    if library is None:
        raise OSError("libcrypt is not there")
    salt = "".join(secrets.choice(_SALT_CHARACTERS) for _ in range(8))
    library.crypt.restype = ctypes.c_char_p
    hashed = library.crypt(password.encode(), f"$6$rounds=1000${salt}$".encode())
    return bytes(hashed).decode()
