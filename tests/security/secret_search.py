"""Where secrets lie: in files, in arguments and environments of processes, on a terminal; plain or encoded."""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from attrs import Factory, define

MIN_LENGTH = 8
SAMPLE_SECONDS = 0.02
_NO_SECRETS = ("account", "expires_at", "user", "username", "address")
_PEM_LINE = re.compile(r"^[A-Za-z0-9+/=]{40,}$", re.MULTILINE)


def list_parts(secret: str) -> set[str]:
    """Return what of a stored secret nobody may see: itself, the secret values of its JSON, the lines of a key."""
    found = {secret}
    with suppress(ValueError):
        document = json.loads(secret)
        if isinstance(document, dict):
            found = {
                str(value)
                for name, value in document.items()
                if isinstance(value, str) and name not in _NO_SECRETS
            }
    keys = {line for text in found for line in _PEM_LINE.findall(text)}
    return {text for text in (found | keys) if len(text) >= MIN_LENGTH}


def encode_forms(secret: str) -> set[bytes]:
    """Return the secret as it may be written: plain, in JSON, in a URL, in hexadecimal, in base64 at any offset."""
    raw = secret.encode("utf-8", "surrogatepass")
    found = {raw, quote(raw, safe="").encode(), quote(raw).encode(), json.dumps(secret)[1:-1].encode()}
    found |= {raw.hex().encode(), raw.hex().upper().encode(), secret.encode("utf-16-le", "surrogatepass")}
    for lead in range(3):
        text = base64.b64encode(b"\0" * lead + raw)
        first, last = (lead * 8 + 5) // 6, (lead + len(raw)) * 8 // 6
        found |= {text[first:last], text[first:last].replace(b"+", b"-").replace(b"/", b"_")}
    return {form for form in found if len(form) >= MIN_LENGTH}


@define
class SecretSearch:
    """The secrets by a name, and all of their forms in one pattern."""

    secrets: Mapping[str, str]
    _names: dict[bytes, str] = Factory(dict)
    _pattern: re.Pattern[bytes] | None = None

    def find(self, data: bytes) -> set[str]:
        """Return the names of the secrets that ``data`` has in any form."""
        if self._pattern is None:
            self._names = {
                form: name
                for name, secret in self.secrets.items()
                for part in list_parts(secret)
                for form in encode_forms(part)
            }
            self._pattern = re.compile(b"|".join(map(re.escape, self._names)))
        return {self._names[match] for match in self._pattern.findall(data)}

    def find_in_folder(self, folder: Path, left_out: Iterable[Path] = ()) -> Iterator[str]:
        """Yield each file with a secret in its content or in its name."""
        skipped = set(left_out)
        for path in folder.rglob("*"):
            if path in skipped or any(parent in skipped for parent in path.parents):
                continue
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
            for name in sorted(self.find(content + b"\n" + str(path.relative_to(folder)).encode())):
                yield f"{name} in {path.relative_to(folder)}"


@define
class ProcessSampler:
    """What the processes that this one started have as arguments and environment, read again and again."""

    seen: set[bytes] = Factory(set)
    _stop: threading.Event = Factory(threading.Event)

    @contextmanager
    def sampling(self) -> Iterator[None]:
        thread = threading.Thread(target=self._sample, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            for pid in _list_descendants(os.getpid()):
                for name in ("cmdline", "environ"):
                    with suppress(OSError):
                        self.seen.add(Path(f"/proc/{pid}/{name}").read_bytes())

    def find(self, search: SecretSearch) -> Sequence[str]:
        seen = self.seen.copy()  # the sampler goes on beside this
        return sorted({f"{name} in {_shorten(data)}" for data in seen for name in search.find(data)})


def _list_descendants(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield int(child)
                yield from _list_descendants(int(child))


def _shorten(data: bytes) -> str:
    return data.replace(b"\0", b" ").decode("utf-8", "replace")[:300]
