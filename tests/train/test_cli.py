"""What the commands refuse before any work, and how light their help is."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from survnode.train.cli import app
from survnode.train.cohorts.errors import CohortIncomplete, DescriptionRefused
from survnode.train.errors import RecipeRefused


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [*map(str, words)])


def train(out: Path, *words: str | Path) -> Result:
    return invoke("train", "--cohort", "phantom", "--out", out, "--cache", out.parent / "cache", *words)


@pytest.mark.parametrize("command", [("train",), ("evaluate",), ("stress",), ("experiment", "run")])
def test_help_needs_neither_torch_nor_numpy(command: tuple[str, ...]) -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from survnode.train.cli import app\n"
        f"result = CliRunner().invoke(app, [*{command!r}, '--help'])\n"
        "print(result.exit_code, [name for name in ('torch', 'numpy', 'pydicom', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 []"


@pytest.mark.parametrize("option", ["--out", "--cache"])
def test_file_in_place_of_a_folder_is_wrong_use_before_the_work(tmp_path: Path, option: str) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "deeper"):
        result = train(tmp_path / "out", option, place)
        assert result.exit_code == 2
        assert "is a file: name a folder" in " ".join(result.output.replace("│", " ").split())
    evaluated = invoke("evaluate", "--model", "demo", "--cohort", "phantom", "--out", tmp_path / "file")
    assert evaluated.exit_code == 2
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("more", [["--folds", "5"], ["--unseen", "phantom-unseen"]])
def test_folds_from_a_file_leave_nothing_to_other_options(tmp_path: Path, more: list[str]) -> None:
    (tmp_path / "folds.csv").write_text("patient,fold,role\n")
    result = train(tmp_path / "out", "--folds-file", tmp_path / "folds.csv", *more)
    assert result.exit_code == 2
    assert "--folds-file" in result.output


def test_absent_file_of_folds_is_wrong_use(tmp_path: Path) -> None:
    assert train(tmp_path / "out", "--folds-file", tmp_path / "absent.csv").exit_code == 2


@pytest.mark.parametrize(
    ("words", "refusal", "said"),
    [
        (["--preset", "best"], RecipeRefused, "paper, released, recommended, demonstration"),
        (["--set", "nothing=1"], RecipeRefused, "nothing=1"),
        (["--cohort", "lung2"], DescriptionRefused, "claro, lung1"),
        (["--unseen", "lung2"], DescriptionRefused, "claro, lung1"),
        (["--cohort", "lung1"], CohortIncomplete, "--data, the folder of its DICOM files, and --clinical"),
        (["--clinical", "table.csv"], DescriptionRefused, "--clinical: phantoms need none"),
    ],
)
def test_what_is_not_known_or_not_said_is_refused_in_words(
    tmp_path: Path, words: list[str], refusal: type[Exception], said: str
) -> None:
    result = train(tmp_path / "out", *words)
    assert isinstance(result.exception, refusal)
    assert said in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_presets_are_listed_with_their_reasons() -> None:
    result = invoke("presets", "--json")
    assert result.exit_code == 0
    assert '"preset": "demonstration"' in result.stdout
