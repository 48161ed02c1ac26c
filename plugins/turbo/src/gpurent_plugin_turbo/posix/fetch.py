"""What was listed comes: the small in archives of `tar`, the large from where its partial ends."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator

from gpurent.api import Progress
from gpurent_plugin_turbo.near.connection.rate_control import MIB
from gpurent_plugin_turbo.near.pull.name_policy import Far, Judge
from gpurent_plugin_turbo.near.pull.safe_dir import Shelf
from gpurent_plugin_turbo.posix import checksums
from gpurent_plugin_turbo.posix.checksums import Sum
from gpurent_plugin_turbo.posix.listing import Found, as_now, states
from gpurent_plugin_turbo.posix.scripts import DONE, LIST, LONG, MARK, path
from gpurent_plugin_turbo.posix.shell import Answer, Shell, Talk
from gpurent_plugin_turbo.posix.tar_batch import BIG, FILES, SIZE, Means
from gpurent_plugin_turbo.posix.tar_stream import HEADERS, SLACK, Flow, TooMuch, members
from gpurent_plugin_turbo.shared.errors import Broken
from gpurent_plugin_turbo.shared.files import part_of
from gpurent_plugin_turbo.shared.pull_frames import UNREADABLE
from gpurent_plugin_turbo.shared.wire import FILE

GRAIN = 1 << 16  # where a large file is taken up again
SHRINKS = 50_000  # of 65536 bytes: what does not press below this comes as it is
TAIL = 1 << 14  # bytes of what is said after the data
CLOSED, CHANGED = "cannot be read there", "changed or vanished while it was read"


class Fetcher:
    """Brings judged files; ``go`` leads to the folder there that their names begin in."""

    def __init__(self, shell: Shell, shelf: Shelf, progress: Progress, means: Means, judge: Judge) -> None:
        self._shell, self._shelf, self._progress, self._means = shell, shelf, progress, means
        self._judge = judge
        self.resumed = 0

    def bring(self, go: bytes, files: list[Far]) -> list[tuple[str, str]]:
        """What could not be brought, and why. What has changed is asked for once more as it is then."""
        late = self._tried(go, files)
        there = as_now(self._shell, go, [far.path for far in late])
        again, lost = [], []
        for far in late:
            now = there.get(far.path)
            if now is not None and now.kind == FILE:
                self._judge.changed(far, now.size, now.time)
                far.mode = now.mode & 0o777
                again.append(far)
            else:
                lost.append((far.text, CLOSED if now is not None and now.kind == UNREADABLE else CHANGED))
        return lost + [(far.text, CHANGED) for far in self._tried(go, again)]

    def _tried(self, go: bytes, files: list[Far]) -> list[Far]:
        """Gives those that did not come."""
        late = []
        for batch in _batches([far for far in files if far.size < BIG]):
            late += self._archive(go, batch)
        return late + [far for far in files if far.size >= BIG and not self._large(go, far)]

    # small files

    def _archive(self, go: bytes, batch: list[Far]) -> list[Far]:
        """Gives those that are still to come. What is read twice, with its old state in between, is one state."""
        script = b"%s%sZ=%s; set -- %s\n" % (
            LIST, go, self._pressing(), b" ".join(path(far.path) for far in batch)
        )  # fmt: skip
        script += b'press "$1"\nsums "$@" 2>/dev/null\nsay now\nstate "$@"\nsay sums\n'
        script += b'if [ "$how" = gzip ]; then tar -cf - -- "$@" 2>/dev/null | gzip -1\n'
        script += b'else tar -cf - -- "$@" 2>/dev/null; fi\nsay done\n'
        most = SLACK + sum(far.size + HEADERS for far in batch)
        with self._shell.talk(script) as talk:
            told = talk.until(b"sums")
            summed, _, now = told.partition(MARK + b"now\n")
            there = states(now)
            if sum(one.size for one in there.values()) > most:
                return batch
            sums = self._sums(summed)
            still = {far.path: sums.get(far.path) for far in batch if _still(far, there.get(far.path))}
            pressed = b"gzip" in Answer.of(told).words
            return self._files(talk, Flow(talk, pressed, most), batch, still)

    def _files(self, talk: Talk, flow: Flow, batch: list[Far], sums: dict[bytes, bytes | None]) -> list[Far]:
        expected = {far.path: far for far in batch}
        try:
            for raw, size, data in members(flow, BIG):
                name = raw.removeprefix(b"./")
                far = expected.get(name)
                if far is None:
                    raise Broken("an archive of what was not asked for")
                if size == far.size and data is not None and sums.get(name) == self._digest(data):
                    del expected[name]
                    self._shelf.small(far.name, memoryview(data), far.mode, far.time)
                    self._progress.advance(size, far.text)
                    self._progress.file_done(far.text)
        except TooMuch:
            return list(expected.values())
        except (tarfile.TarError, EOFError):
            if not talk.drain():
                talk.check()
            return list(expected.values())
        talk.rest(SLACK)
        return list(expected.values())

    def _sums(self, told: bytes) -> dict[bytes, bytes]:
        """Digests by name, as `sha256sum` or `cksum` print them. A name with a backslash may come with two."""
        found = {}
        for line in told.splitlines():
            digest, _, name = line.removeprefix(b"\\").partition(b"./")
            if line.startswith(b"\\"):
                name = name.replace(b"\\\\", b"\\")
            found[name] = digest.split(b" ")[0]
        return found

    def _digest(self, data: bytes) -> bytes:
        return checksums.of_data(self._means.sha, data)

    def _pressing(self) -> bytes:
        return b"%d" % SHRINKS if self._means.presses(self._shell.rate) else b""

    # large ones

    def _large(self, go: bytes, far: Far) -> bool:
        part = part_of(b"/".join(far.name), far.size, far.time)
        handle, there = self._shelf.begun(far.name, part)
        try:
            made, at = self._prefix(go, far, handle, there)
            self._shelf.resize(far.name, handle, at)
            if self._rest(go, far, handle, made, at):
                self._shelf.settle(far.name, part, handle, far.mode, far.time)
                self._progress.file_done(far.text)
                return True
            self._shelf.drop(part)
            return False
        finally:
            os.close(handle)

    def _prefix(self, go: bytes, far: Far, handle: int, there: int) -> tuple[Sum, int]:
        """The digest of what is here already, and how much of that is as it is there."""
        made, at = checksums.fresh(self._means.sha), min(there, far.size) // GRAIN * GRAIN
        if not at or not checksums.read_into(made, handle, at):
            return checksums.fresh(self._means.sha), 0
        script = b'say sum "$(head -c %d -- %s | sum)"\nsay done\n' % (at, path(far.path))
        if self._shell.ask(LIST + go + script).one(b"sum") != made.word():
            return checksums.fresh(self._means.sha), 0
        self.resumed += at
        self._progress.advance(at, far.text)
        return made, at

    def _rest(self, go: bytes, far: Far, handle: int, made: Sum, at: int) -> bool:
        """Whether the file came as it is there, in one state and that which was listed."""
        name, size = path(far.path), far.size - at
        script = b"%s%sZ=%s; press %s\nsay data\n" % (LIST, go, self._pressing(), name)
        script += b'give() { dd if=%s bs=%d skip=%d 2>/dev/null | head -c %d; }\n' % (
            name, GRAIN, at // GRAIN, size
        )  # fmt: skip
        script += b'if [ "$how" = gzip ]; then give | gzip -1; else give; fi\n'
        script += b"say now\nstate %s\n" % name
        script += b'say sum "$(head -c %d -- %s | sum)"\nsay done\n' % (far.size, name)
        with self._shell.talk(script) as talk:
            pressed = b"gzip" in Answer.of(talk.until(b"data")).words
            flow = Flow(talk, pressed, size + SLACK)
            for data in _exactly(flow, size):
                self._write(far, handle, data, at, made)
                at += len(data)
            told = (flow.after() + talk.rest())[-TAIL:]
        answer = Answer.of(told)
        if at != far.size or answer.one(b"sum") != made.word() or not told.endswith(DONE):
            return False
        return _still(far, states(answer.text).get(far.path))

    def _write(self, far: Far, handle: int, data: bytes, at: int, made: Sum) -> None:
        made.update(data)
        if data.count(0) == len(data):
            self._shelf.resize(far.name, handle, at + len(data))
        else:
            self._shelf.write(far.name, handle, memoryview(data), at)
        self._progress.advance(len(data), far.text)


def _still(far: Far, now: Found | None) -> bool:
    return now is not None and (now.kind, now.size, now.time) == (FILE, far.size, far.time)


def _exactly(flow: Flow, size: int) -> Iterator[bytes]:
    """So many bytes; fewer when there are no more."""
    while size and (data := flow.read(min(size, MIB))):
        yield data
        size -= len(data)


def _batches(files: list[Far]) -> Iterator[list[Far]]:
    batch: list[Far] = []
    size = length = 0
    for far in files:
        if batch and (size + far.size > SIZE or len(batch) >= FILES // 2 or length > LONG // 3):
            yield batch
            batch, size, length = [], 0, 0
        batch.append(far)
        size += far.size
        length += len(far.path)
    if batch:
        yield batch
