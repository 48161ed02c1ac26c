"""Uploads a folder by paramiko's SFTP client, as its users write it."""

from __future__ import annotations

import sys
from pathlib import Path

import paramiko  # type: ignore[import-untyped]

host, port, user, key, known, source, target = sys.argv[1:]
client = paramiko.SSHClient()
client.load_host_keys(known)
client.connect(host, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
sftp = client.open_sftp()
root = Path(source)
sftp.mkdir(target)
for path in sorted(root.rglob("*")):
    remote_path = f"{target}/{path.relative_to(root)}"
    if path.is_dir():
        sftp.mkdir(remote_path)
    else:
        sftp.put(str(path), remote_path, confirm=False)
client.close()
