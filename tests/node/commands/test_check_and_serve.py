"""What `serve` refuses, `check` finds first: each pair runs both commands on one configuration."""

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from survnode.model.checkpoint import checkpoint_folder
from survnode.node.commands.check import Finding, run_checks
from survnode.node.contexts import accepted_contexts
from survnode.node.errors import ReceiverFailed
from survnode.node.intake.receiver import Listening, Receiver
from survnode.node.intake.store_folders import StoreFolders
from survnode.node.service.lock import lock_data_dir
from survnode.node.state.database import Database
from survnode.node.state.tables import SCHEMA_VERSION

SERVE_S = 180  # the receiver listens after the model is warm, so that its refusals come late
Site = Callable[[Path], Iterator[str]]


def configured(folder: Path, text: str) -> Path:
    data_dir = "" if "data_dir" in text else f'data_dir = "{folder / "data"}"\n'
    path = folder / "survnode.toml"
    path.write_text(f"{data_dir}{text}" + ("" if "[work]" in text else '\n[work]\ndevice = "cpu"\n'))
    return path


def faults(config: Path) -> set[str]:
    """What `check` finds wrong, but for having no destination, which `serve` bears."""
    return {it.what for it in findings(config) if not it.ok and it.what != "destinations"}


def findings(config: Path) -> list[Finding]:
    return list(run_checks(config))


def receiving(host: str, port: int) -> str:
    return f'[receiver]\nhost = "{host}"\nport = {port}\nmin_free_gib = 0\n'


def port_in_use(_: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield receiving("127.0.0.1", other.getsockname()[1])


def data_dir_is_a_file(folder: Path) -> Iterator[str]:
    (folder / "data").write_text("no folder")
    yield receiving("127.0.0.1", 0)


def data_dir_cannot_be_made(_: Path) -> Iterator[str]:
    yield 'data_dir = "/proc/survnode"\n' + receiving("127.0.0.1", 0)  # nobody makes folders there, root neither


def database_of_another_version(folder: Path) -> Iterator[str]:
    (folder / "data").mkdir()
    Database(folder / "data" / "survnode.db").close()
    connection = sqlite3.connect(folder / "data" / "survnode.db")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    yield receiving("127.0.0.1", 0)


def database_is_none(folder: Path) -> Iterator[str]:
    (folder / "data").mkdir()
    (folder / "data" / "survnode.db").write_text("no database, but text that is long enough to be looked at" * 40)
    yield receiving("127.0.0.1", 0)


def device_is_not_here(_: Path) -> Iterator[str]:
    yield receiving("127.0.0.1", 0) + '[work]\ndevice = "cuda:63"\n'


def checkpoint_was_altered(folder: Path) -> Iterator[str]:
    copy = shutil.copytree(checkpoint_folder("demo"), folder / "model")
    weights = copy / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    yield receiving("127.0.0.1", 0) + f'[model]\ncheckpoint = "{copy}"\n'


def checkpoint_is_absent(folder: Path) -> Iterator[str]:
    yield receiving("127.0.0.1", 0) + f'[model]\ncheckpoint = "{folder / "model"}"\n'


def another_node_runs(folder: Path) -> Iterator[str]:
    data = folder / "data"
    lock = lock_data_dir(data, (data,))
    yield receiving("127.0.0.1", 0)
    assert lock


def test_serve_and_check_refuse_to_listen_for_everybody(tmp_path: Path) -> None:
    config = configured(tmp_path, receiving("0.0.0.0", 0))
    for asked in ("serve", "check"):
        command = [sys.executable, "-m", "survnode.node.cli", asked, "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SERVE_S)
        assert (done.returncode, "everybody who reaches 0.0.0.0" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == [config]


REFUSALS: dict[Site, str] = {
    port_in_use: "address",
    data_dir_is_a_file: "data folder",
    data_dir_cannot_be_made: "data folder",
    database_of_another_version: "database",
    database_is_none: "database",
    device_is_not_here: "weights",
    checkpoint_was_altered: "checkpoint",
    checkpoint_is_absent: "checkpoint",
    another_node_runs: "data folder",
}


@pytest.mark.parametrize(("site", "what"), REFUSALS.items(), ids=[site.__name__ for site in REFUSALS])
def test_check_finds_what_serve_refuses(site: Site, what: str, tmp_path: Path) -> None:
    with contextmanager(site)(tmp_path) as text:
        config = configured(tmp_path, text)
        command = [sys.executable, "-m", "survnode.node.cli", "serve", "--config", str(config)]
        served = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SERVE_S)
        assert (served.returncode, "refused:" in served.stderr, "Traceback" in served.stderr) == (1, True, False)
        assert what in faults(config)


def test_check_beside_the_node_that_runs_says_that_folder_and_address_are_its_own(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        config = configured(tmp_path, receiving("127.0.0.1", port))
        lock = lock_data_dir(data, (data,))
        (data / "receiver.port").write_text(str(port))
        beside = {it.what: it for it in findings(config)}
        os.close(lock)
        after = {it.what: it for it in findings(config)}
    for what in ("data folder", "address"):
        assert (beside[what].ok, beside[what].detail.startswith("this node runs")) == (False, True)
    assert after["data folder"].ok
    assert after["address"].detail == f"cannot listen at 127.0.0.1:{port}: Address already in use"  # by somebody else


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_check_finds_a_host_at_which_the_receiver_cannot_listen(host: str, tmp_path: Path) -> None:
    with pytest.raises(ReceiverFailed):
        Receiver(Listening("SURVNODE", host=host), accepted_contexts(), print).start()
    assert faults(configured(tmp_path, receiving(host, 0) + "open = true\n")) == {"address"}


def test_check_finds_nothing_where_serve_can_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    config = configured(tmp_path, receiving("127.0.0.1", 0))
    assert faults(config) == set()
    assert list(tmp_path.iterdir()) == [config]


def test_check_finds_a_receiver_that_still_drains(tmp_path: Path) -> None:
    folders = StoreFolders(tmp_path / "data" / "received")
    folders.lock()
    try:
        assert faults(configured(tmp_path, receiving("127.0.0.1", 0))) == {"data folder"}
    finally:
        folders.unlock()


def test_check_leaves_a_data_folder_as_it_was(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Database(data / "survnode.db").close()
    config = configured(tmp_path, receiving("127.0.0.1", 0))
    assert faults(config) == set()
    assert sorted(path.name for path in data.iterdir() if path.is_file() and path.suffix != ".lock") == ["survnode.db"]
    assert not list(data.rglob(".check-*"))
