"""How commands end: what a shell and a script see."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest
import typer

from survnode.model.errors import CheckpointRefused
from survnode.node.commands.exit_codes import EXIT_CODES, Commands, ExitCode, run
from survnode.node.errors import InputRefused

from ...command_line import survnode

CLI = [sys.executable, "-m", "survnode.node.cli"]


@pytest.fixture(autouse=True)
def no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["survnode"])


def ended(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command that raises ``error``."""
    app = typer.Typer(cls=Commands)

    @app.callback(invoke_without_command=True)
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        run(app)
    out, err = capsys.readouterr()
    return int(str(end.value.code)), out, err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputRefused("There is no DIR."), 1, "refused: There is no DIR.\n"),
        (CheckpointRefused("It is none."), 1, "refused: It is none.\n"),
        (PermissionError(13, "Permission denied", "/out"), 1, "refused: /out: Permission denied.\n"),
        (typer.BadParameter("It is none"), 2, "wrong use: It is none. See survnode --help.\n"),
        (KeyboardInterrupt(), 130, "interrupted.\n"),
        (KeyboardInterrupt("It goes on."), 130, "interrupted. It goes on.\n"),
        (typer.Exit(1), 1, ""),
    ],
)
def test_every_end_has_its_code_and_one_sentence(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, words: str
) -> None:
    assert ended(capsys, error) == (code, "", words)


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    app = typer.Typer(cls=Commands)
    app.callback(invoke_without_command=True)(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        run(app)


def test_help_says_what_the_exit_codes_mean() -> None:
    words = " ".join(survnode("--help").stdout.split())
    assert all(f"{code.value} {code.meaning}" in EXIT_CODES for code in ExitCode)
    assert EXIT_CODES in words


def test_the_version_is_one_line() -> None:
    done = survnode("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split()[0] == "survnode"
    assert done.stdout.count("\n") == 1


def test_a_command_that_needs_no_command_names_the_way_to_its_help() -> None:
    done = survnode("serve")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("wrong use: Missing option '--config'")
    assert done.stderr.endswith("See survnode serve --help.\n")


@pytest.mark.parametrize("command", [("presets",), ("presets", "--json"), ("model", "show", "--json"), ("--help",)])
def test_a_reader_that_goes_away_is_met_with_silence(command: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen([*CLI, *command], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    os.close(reader)  # gone before the first line
    _, err = process.communicate(timeout=120)
    assert err == b""
    assert process.returncode == ExitCode.REFUSED


def test_what_a_terminal_cannot_write_is_no_fault() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*CLI, "presets"], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def interrupted(process: "subprocess.Popen[str]") -> str:
    """What a command says after Ctrl-C.

    Pressed again until it says so: Python drops a KeyboardInterrupt that meets a callback of its garbage collector,
    of which imports are full. Not after that, when it would meet the end of the process.
    """
    said: list[str] = []
    heard = Event()

    def read() -> None:
        for line in process.stderr or ():
            said.append(line)
            if line.startswith("interrupted."):
                heard.set()
        heard.set()

    reader = Thread(target=read)
    reader.start()
    for _ in range(15):
        process.send_signal(signal.SIGINT)
        if heard.wait(4):
            break
    process.wait(60)
    reader.join()
    return "".join(said)


AT_WORK = {  # what a command imports last, before its work begins
    "predict": "survnode.node.commands.predict",
    "train": "survnode.train.runs.run",
}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("command", AT_WORK)
def test_an_interruption_is_one_line(tmp_path: Path, command: str, thorax64_series: list[Path]) -> None:
    arguments = {
        "predict": ["predict", str(thorax64_series[0].parent), "--out", str(tmp_path / "out")],
        # a preset without downloads: where weights are absent another is refused before it can be interrupted
        "train": [
            *("train", "--cohort", "phantom", "--preset", "demonstration"),
            *("--out", str(tmp_path / "run"), "--cache", str(tmp_path / "cache")),
        ],
    }
    telling = [sys.executable, "-v", *CLI[1:]]  # Python says what it imports
    with subprocess.Popen([*telling, *arguments[command]], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.startswith(f"import '{AT_WORK[command]}'") for line in process.stderr)
        said = interrupted(process)
    assert process.returncode == ExitCode.INTERRUPTED
    assert said.count("interrupted.") == 1
    assert "Traceback" not in said
