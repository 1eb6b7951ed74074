"""What a program asks of the disk, recorded by strace; and every disk that a power cut may leave of it.

Only what POSIX promises is taken to be there after a power cut: the bytes of a file that was synced (fsync, fdatasync)
and the names in a folder that was synced, as they were when that began. Everything else may be there, or not, or in
part: a write that was not synced may survive by sectors, and without those before it.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from random import Random

import pytest

SECTOR = 512
CALLS = (
    "open,openat,creat,close,dup,dup2,dup3,write,writev,pwrite64,pwritev,lseek,fsync,fdatasync,ftruncate,rename,"
    "renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,sendfile,copy_file_range"
)
ENDS = re.compile(r"(?P<pid>\d+) +(?P<text>.*)")
CALL = re.compile(r"(?P<name>\w+)\((?P<arguments>.*)\) += (?P<result>-?\d+)")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def strace() -> str:
    found = shutil.which("strace")
    if found is None:
        pytest.skip("strace, which records what is written, is absent")
    return found


def record(command: Sequence[str], log: Path, *, cwd: Path) -> None:
    """Run a program and write to ``log`` what it asks of the disk."""
    options = ["-f", "--seccomp-bpf", "-qq", "-xx", "-s", str(1 << 24), "-e", f"trace={CALLS}", "-o", str(log)]
    subprocess.run([strace(), *options, *command], check=True, cwd=cwd, capture_output=True)


class Loss(StrEnum):
    """What a power cut takes of all that was not synced."""

    NOTHING = "NOTHING"  # a process was killed, and its machine lives
    EVERYTHING = "EVERYTHING"
    BYTES = "BYTES"  # every name is there, and a new file is empty
    NAMES = "NAMES"  # every byte is there, and a new file has no name
    ANYTHING = "ANYTHING"  # by chance


@dataclass
class File:
    """Bytes that are durable, and the writes since: offset and bytes, or a length and nothing."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def content(self, loss: Loss, random: Random) -> bytes:
        """What a power cut leaves."""
        if loss in (Loss.EVERYTHING, Loss.BYTES):
            return self.durable
        content = bytearray(self.durable)
        for offset, written in self.pending:
            if loss is Loss.ANYTHING and random.random() < 0.5:
                continue
            if written is None:
                del content[offset:]
                content.extend(bytes(offset - len(content)))
                continue
            kept = written
            if loss is Loss.ANYTHING and random.random() < 0.5:
                kept = written[: random.randrange(0, len(written) + SECTOR, SECTOR)]
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(kept)] = kept
        return bytes(content)


@dataclass
class Folder:
    """Names that are durable, and the changes since, each of some names at once."""

    durable: dict[str, "File | Folder"] = field(default_factory=dict)
    pending: list[dict[str, "File | Folder | None"]] = field(default_factory=list)

    @property
    def names(self) -> dict[str, "File | Folder"]:
        """As programs see them."""
        return self.left(Loss.NOTHING, Random())

    def left(self, loss: Loss, random: Random) -> dict[str, "File | Folder"]:
        """What a power cut leaves."""
        names = dict(self.durable)
        if loss in (Loss.EVERYTHING, Loss.NAMES):
            return names
        for change in self.pending:
            if loss is Loss.ANYTHING and random.random() < 0.5:
                continue
            for name, entry in change.items():
                if entry is None:
                    names.pop(name, None)
                else:
                    names[name] = entry
        return names


@dataclass
class Open:
    """A descriptor; ``place`` is where it writes next, unless it ``appends``."""

    entry: File | Folder | None
    path: str
    place: int = 0
    appends: bool = False


@dataclass(frozen=True)
class Call:
    """A call of the operating system that succeeded; ``began`` counts the calls that had ended before it began."""

    name: str
    arguments: str
    result: int
    began: int

    @property
    def texts(self) -> list[bytes]:
        """Its strings."""
        return [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(self.arguments)]

    @property
    def numbers(self) -> list[int]:
        """Its numbers, but for what stands in strings and structures."""
        plain = re.sub(r'"[^"]*"|\[[^]]*\]|AT_FDCWD|[A-Z_|]+', "", self.arguments)
        return [int(text, 0) for text in re.findall(r"-?(?:0x[0-9a-f]+|\d+)", plain)]


def calls_of(log: Path) -> Iterator[Call]:
    """What was recorded, in the order in which it ended."""
    unfinished: dict[str, tuple[str, int]] = {}
    number = 0
    for line in log.read_text().splitlines():
        matched = ENDS.match(line)
        if matched is None:
            continue
        pid, text = matched["pid"], matched["text"]
        began = number
        if text.endswith("<unfinished ...>"):
            unfinished[pid] = text.removesuffix("<unfinished ...>").rstrip(), number
            continue
        if text.startswith("<... "):
            start, began = unfinished.pop(pid)
            text = start + text[text.index("resumed>") + len("resumed>") :]
        called = CALL.match(text)
        if called is None or int(called["result"]) < 0:
            continue
        number += 1
        yield Call(called["name"], called["arguments"], int(called["result"]), began)


class RecordedDisk:
    """A folder as a recorded program makes it; ``said`` holds the lines that it wrote to the file ``voice``."""

    def __init__(self, root: Path, voice: Path) -> None:
        self.root, self.said = Folder(), list[str]()
        self._where, self._voice = str(root), str(voice)
        self._open: dict[int, Open] = {}

    def play(self, calls: Sequence[Call]) -> Iterator[Call]:
        """Do what was recorded; each call after which the folder, or what may be lost of it, is another."""
        lengths: dict[int, dict[int, int]] = {}
        syncs = {call.began for call in calls if call.name in ("fsync", "fdatasync")}
        for number, call in enumerate(calls):
            if number in syncs:
                lengths[number] = {id(it): len(it.pending) for it in self._entries()}
            if self._do(call, lengths.get(call.began, {})):
                yield call

    def leave(self, folder: Path, loss: Loss, seed: int = 0) -> None:
        """Make the folder as a power cut leaves it."""
        folder.mkdir()
        _make(self.root, folder, loss, Random(seed))

    def _entries(self) -> Iterator[File | Folder]:
        opened = [it.entry for it in self._open.values() if it.entry is not None]
        stack: list[File | Folder] = [self.root, *opened]
        while stack:
            entry = stack.pop()
            yield entry
            if isinstance(entry, Folder):
                stack.extend(entry.names.values())

    def _do(self, call: Call, lengths: dict[int, int]) -> bool:
        match call.name:
            case "open" | "openat" | "creat":
                return self._opened(call)
            case "close" | "dup" | "dup2" | "dup3" | "lseek":
                return self._move(call)
            case "fsync" | "fdatasync":
                return self._sync(self._open.get(call.numbers[0]), lengths)
            case "write" | "writev" | "pwrite64" | "pwritev" | "ftruncate":
                return self._write(call)
            case "sendfile" | "copy_file_range":
                assert call.numbers[0] not in self._open, "what is copied within the disk is not recorded"
                return False
            case _:
                return self._rename(call)

    def _move(self, call: Call) -> bool:
        opened = self._open.get(call.numbers[0])
        if opened is not None and call.name == "close":
            del self._open[call.numbers[0]]
        elif opened is not None and call.name == "lseek":
            opened.place = call.result
        elif opened is not None:
            self._open[call.result] = copy(opened)
        return False

    def _opened(self, call: Call) -> bool:
        path, flags = call.texts[0].decode(), call.arguments
        if not (path == self._where or path.startswith((f"{self._where}/", self._voice))):
            return False
        if path == self._voice:
            self._open[call.result] = Open(None, path)
            return False
        entry = self._find(path)
        is_new = entry is None
        if entry is None:
            assert "O_CREAT" in flags, path
            entry = File()
            self._change(path, entry)
        self._open[call.result] = Open(entry, path, appends="O_APPEND" in flags)
        if "O_TRUNC" in flags and isinstance(entry, File):
            entry.pending.append((0, None))
        return is_new

    def _write(self, call: Call) -> bool:
        opened = self._open.get(call.numbers[0])
        if opened is None:
            return False
        written = b"".join(call.texts)[: call.result]
        if opened.path == self._voice:
            self.said.extend(written.decode().splitlines())
            return True
        assert isinstance(opened.entry, File)
        if call.name == "ftruncate":
            opened.entry.pending.append((call.numbers[1], None))
        else:
            opened.entry.pending.append((self._place_of(call, opened, opened.entry), written))
        return not opened.path.endswith("-shm")

    def _place_of(self, call: Call, opened: Open, file: File) -> int:
        """The offset of a write."""
        if call.name.startswith("p"):
            return call.numbers[-1]
        offset = len(file.content(Loss.NOTHING, Random())) if opened.appends else opened.place
        opened.place = offset + call.result
        return offset

    def _sync(self, opened: Open | None, lengths: dict[int, int]) -> bool:
        """Make durable what was there when the sync began."""
        if opened is None or opened.entry is None:
            return False
        entry = opened.entry
        number = min(lengths.get(id(entry), 0), len(entry.pending))
        left = entry.pending[number:]
        del entry.pending[number:]
        if isinstance(entry, File):
            entry.durable, entry.pending = entry.content(Loss.NOTHING, Random()), left  # type: ignore[assignment]
        else:
            entry.durable, entry.pending = entry.names, left  # type: ignore[assignment]
        return True

    def _rename(self, call: Call) -> bool:
        paths = [text.decode() for text in call.texts]
        if not all(path.startswith(f"{self._where}/") for path in paths):
            return False
        first, last = paths[0], paths[-1]
        if call.name.startswith("mkdir"):
            self._change(first, Folder())
        elif call.name.startswith("link"):
            self._change(last, self._find(first))
        elif call.name.startswith("rename"):
            moved = self._find(first)
            if Path(first).parent == Path(last).parent:
                self._folder_of(first).pending.append({Path(first).name: None, Path(last).name: moved})
            else:
                self._change(last, moved)
                self._change(first, None)
        else:
            self._change(first, None)
        return True

    def _find(self, path: str) -> "File | Folder | None":
        entry: File | Folder | None = self.root
        for name in path.removeprefix(self._where).strip("/").split("/"):
            if name and entry is not None:
                entry = entry.names.get(name) if isinstance(entry, Folder) else None
        return entry

    def _folder_of(self, path: str) -> Folder:
        folder = self._find(str(Path(path).parent))
        assert isinstance(folder, Folder), path
        return folder

    def _change(self, path: str, entry: File | Folder | None) -> None:
        self._folder_of(path).pending.append({Path(path).name: entry})


def _make(folder: Folder, where: Path, loss: Loss, random: Random) -> None:
    for name, entry in sorted(folder.left(loss, random).items()):
        if isinstance(entry, Folder):
            (where / name).mkdir()
            _make(entry, where / name, loss, random)
        elif not name.endswith("-shm"):  # memory that processes share: nobody reads it after a start
            (where / name).write_bytes(entry.content(loss, random))
