"""The kinds of values in the configuration, each with the words for what is wrong with it."""

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationInfo


class ConfigSection(BaseModel):
    """A table of the file; it is fixed once read, and a key that it does not know is a fault."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _text(pattern: str, words: str) -> AfterValidator:
    """A check whose fault is told in words."""
    expression = re.compile(pattern)

    def check(value: str) -> str:
        if not expression.fullmatch(value):
            raise ValueError(words)
        return value

    return AfterValidator(check)


def _listed(value: object) -> object:
    """One text as a list of one."""
    return (value,) if isinstance(value, str) else value


# PS3.5 6.2: of the default repertoire, no backslash, no control characters, not only spaces.
AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    _text(r"[ -\[\]-~]{1,16}", "must be 1 to 16 ASCII characters without a backslash"),
]
Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, _text(r"[A-Za-z0-9_-]{1,64}", "must be 1 to 64 letters, digits, underscores or hyphens")]
Seconds = Annotated[float, Field(gt=0)]
Pattern = Annotated[str, _text(r"(?s).*\S.*", "must not be empty; * stands for any characters, ? for one")]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_listed)]
LogLevel = Annotated[str, _text(r"debug|info|warning|error", "must be debug, info, warning or error")]
Device = Annotated[str, _text(r"auto|cpu|cuda(:\d+)?", "must be auto, cpu, cuda or cuda:N")]


def beside_the_file(value: Path, info: ValidationInfo) -> Path:
    """A relative path as one from the configuration file's own folder."""
    return Path(info.context["folder"]) / value if info.context else value


ConfigPath = Annotated[Path, AfterValidator(beside_the_file)]
