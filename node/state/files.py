"""Where received files lie, and how they survive a power cut."""

import os
from hashlib import file_digest, sha256
from pathlib import Path


def write_durably(path: Path, content: bytes) -> None:
    """Write a new file that nobody else may read; its bytes, not yet its name, are on disk on return."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        os.fsync(file.fileno())


def replace_durably(path: Path, content: bytes) -> None:
    """Put ``content`` at ``path``, all of it or nothing; it is on disk on return. One writer a path."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    write_durably(temporary, content)
    temporary.replace(path)
    sync_folder(path.parent)


def is_as_received(path: Path, sha256_of_data_set: str) -> bool:
    """Whether the data set of a Part 10 file is what it was when it came; False if the file is gone.

    Raises
    ------
    OSError
        The disk cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(144)  # preamble, prefix, and the element that tells the length of the meta information
            file.seek(144 + int.from_bytes(start[140:144], "little"))
            return start[128:132] == b"DICM" and file_digest(file, "sha256").hexdigest() == sha256_of_data_set
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Bring the names in ``folder`` to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hashed(name: str) -> str:
    """A name for a file or folder: no UID that a peer sends becomes a path."""
    return sha256(name.encode()).hexdigest()[:32]


def other_folder(study_instance_uid: str) -> str:
    """Where what is not CT of a study is kept, below the store's folder."""
    return f"other/{hashed(study_instance_uid)}"
