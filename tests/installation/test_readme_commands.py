"""Every command of the README in an installation without extras: it runs, or says in one sentence what it needs."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from survnode.model.extras import packages_of

from .bare import hidden_modules, installed, required, write_hiding

README = Path(__file__).parents[2] / "README.md"
NEED_THE_EXTRA = {"train", "evaluate", "experiment run", "experiment report"}
AT_LEAST = 15  # commands: a check that matched none has checked nothing


def commands() -> list[str]:
    """The lines of the README's shell blocks that begin with ``survnode``, without their comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line.partition("#")[0].strip() for line in lines if line.startswith("survnode ")))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that sees no extras."""
    folder = write_hiding(tmp_path_factory.mktemp("bare"))
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"PYTHONPATH": path, "COLUMNS": "80"}


@pytest.fixture(scope="module")
def values(tmp_path_factory: pytest.TempPathFactory, thorax64_series: list[Path]) -> dict[str, str]:
    """What stands for the README's capitals."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "clinical.csv").write_text("PatientID,time,event\n")
    config = folder / "survnode.toml"
    config.write_text(f'data_dir = "{folder / "none"}"\n')
    ct = str(thorax64_series[0].parent)
    outputs = {name: str(folder / name.lower()) for name in ("OUT", "RUN", "BENCH")}
    (folder / "bench").mkdir()  # the report is asked for after the experiments
    named = {"FOLDER": ct, "DIR": ct, "CSV": str(folder / "clinical.csv"), "CHECKPOINT": "demo"}
    return {**outputs, **named, "survnode.toml": str(config), "UID": "1.2.3", "DEVICE_UID": "2.25.1"}


DRIVER = """
import contextlib, io, json, sys
from survnode.node.cli import main
ended = []
for words in json.load(sys.stdin):
    out, err, code = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO()), 0
    sys.argv = ["survnode", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = int(end.code)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    ended.append([code, *texts])
print(json.dumps(ended))
"""
Ended = tuple[int, str, str]  # exit code, standard output, standard error


def run_bare(bare: dict[str, str], commands: list[list[str]]) -> list[Ended]:
    """How commands end, one after the other in one process: most of the time of each would go to loading PyTorch."""
    command = [sys.executable, "-c", DRIVER]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=bare, input=json.dumps(commands))
    assert done.returncode == 0, done.stderr
    return [(int(code), str(out), str(err)) for code, out, err in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def ended(bare: dict[str, str], values: dict[str, str]) -> dict[str, Ended]:
    """How each command of the README ends."""
    lines = [line for line in commands() if " serve" not in line]
    return dict(zip(lines, run_bare(bare, [filled(line, values) for line in lines]), strict=True))


def filled(line: str, values: dict[str, str]) -> list[str]:
    """The words of a command with values for the README's capitals; ``...`` stands for what is not said there."""
    line = line.replace("--config ...", "--config survnode.toml")
    words = [word for word in shlex.split(line)[1:] if word != "..."]
    return [re.sub(r"[A-Z_]+|survnode\.toml", lambda name: values.get(name[0], name[0]), word) for word in words]


def test_the_hidden_are_what_extras_bring_and_nothing_that_is_required() -> None:
    needed, there = required(), installed()
    assert needed <= there
    hidden = there - needed
    assert set(packages_of("train")) <= hidden
    assert {"torch", "sklearn", "threadpoolctl", "monai"} & hidden_modules(hidden) == {
        "sklearn",
        "threadpoolctl",
        "monai",
    }


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= AT_LEAST


@pytest.mark.parametrize("line", [line for line in commands() if " serve" not in line])
def test_a_command_of_the_readme_runs_or_says_what_it_needs(line: str, ended: dict[str, Ended]) -> None:
    code, out, err = ended[line]
    words = line.split()[1:]
    name = " ".join(words[:2]) if words[0] == "experiment" else words[0]
    assert "Traceback" not in err
    if name in NEED_THE_EXTRA:
        sentence = rf"refused: survnode {name} needs the extra \[train\], of which .* not installed: .*\n"
        assert re.fullmatch(sentence, err)
        assert (code, out) == (1, "")
    elif "--withdraw" in words and "--dry-run" not in words:
        assert (code, out) == (2, "")  # nobody can be asked here
    else:
        assert code in {0, 1}, err
        assert code == 0 or out or err.startswith("refused: ")  # what `check` found, or that no node has run


def test_serve_needs_no_extra(bare: dict[str, str], tmp_path: Path) -> None:
    config = tmp_path / "survnode.toml"
    config.write_text(f'data_dir = "{tmp_path / "data"}"\n[model]\ncheckpoint = "{tmp_path}"\n')
    ((code, out, err),) = run_bare(bare, [["serve", "--config", str(config)]])
    assert (code, out) == (1, "")
    assert "model.json cannot be read" in err
