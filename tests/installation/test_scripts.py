"""The scripts and constraints that a first installation uses, with stand-ins for what they install."""

import re
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[2]
CONSTRAINTS = PROJECT / "deploy" / "constraints-cpu.txt"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the scripts whose virtual environment is there already and only says what it is asked."""
    project = tmp_path / "the project"
    shutil.copytree(PROJECT / "deploy", project / "deploy")
    (project / ".venv" / "bin").mkdir(parents=True)
    for name in ("python", "survnode"):
        path = project / ".venv" / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} in $PWD: $*"\n')
        path.chmod(0o755)
    return project


def test_the_demonstration_takes_paths_as_the_caller_means_them(tmp_path: Path, project: Path) -> None:
    caller = tmp_path / "caller"
    caller.mkdir()
    script = Path("..") / project.name / "deploy" / "demo.sh"
    command = ["/bin/bash", str(script), "--ct", "mystudy"]
    done = subprocess.run(command, cwd=caller, capture_output=True, text=True, check=True)
    installed, ran = done.stdout.splitlines()
    assert installed.startswith(f"python in {project}: -m pip install")
    assert ran == f"survnode in {caller}: demo --ct mystudy"


def test_cpu_builds_are_versions_that_the_project_admits() -> None:
    pinned = [Requirement(line) for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    admitted = {requirement.name: requirement for requirement in map(Requirement, requires("survnode") or ())}
    assert {requirement.name for requirement in pinned} == {"torch", "torchvision"}
    for requirement in pinned:
        (specifier,) = requirement.specifier
        assert specifier.version.endswith("+cpu")
        assert admitted[requirement.name].specifier.contains(specifier.version)
        assert requirement.marker is not None
        assert not requirement.marker.evaluate({"sys_platform": "darwin"})


def test_no_index_is_named_where_the_user_names_it() -> None:
    files = [path for path in (PROJECT / "deploy").iterdir() if path.is_file()]
    named = [path.name for path in files if re.search("https?://", path.read_text())]
    assert named == []
