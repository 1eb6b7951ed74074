"""Configuration files of a test."""

from pathlib import Path

import pytest

from survnode.node.config import load_config
from survnode.node.errors import ConfigurationRefused

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "survnode.toml"
DESTINATION = '[[destinations]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n'
SOURCE = '[[sources]]\nname = "pacs"\nae_title = "P"\nhost = "h"\nport = 104\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "survnode.toml"
    path.write_text(text)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigurationRefused) as refused:
        load_config(write(folder, text))
    return str(refused.value)
