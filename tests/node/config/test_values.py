from pathlib import Path

import pytest

from survnode.node.config import load_config
from survnode.node.errors import ConfigurationRefused

from .files import write


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    write(folder, 'data_dir = "data"\nmodel = { checkpoint = "mine", encoder_weights = "e", lungmask_weights = "/w" }')
    monkeypatch.chdir(tmp_path)
    config = load_config(Path("site/survnode.toml"))
    assert config.data_dir == folder / "data"
    assert (config.model.checkpoint, config.model.encoder_weights) == (str(folder / "mine"), folder / "e")
    assert config.model.lungmask_weights == Path("/w")


@pytest.mark.parametrize("title", ["", "   ", "A" * 17, "BACK\\SLASH", "TAB\\tTAB", "ÄÖ"])
def test_an_ae_title_outside_the_standard_is_refused(tmp_path: Path, title: str) -> None:
    with pytest.raises(ConfigurationRefused, match=r"receiver\.ae_title"):
        load_config(write(tmp_path, f"data_dir = 'x'\n[receiver]\nae_title = '{title}'"))
