"""How a command ends: its exit code, and one sentence on standard error where it did not do what was asked.

Standard output holds results and nothing else: progress, logs and refusals go to standard error, with ``--json`` too.
"""

import os
import sys
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, NoReturn, Self

import typer
from rich.console import Console
from typer.core import TyperGroup

from survnode.model.errors import ModelError
from survnode.node.errors import NodeError

# Typer has a click of its own since 0.26, and click's before: this is its UsageError in both.
WrongUse: type[Exception] = typer.BadParameter.__bases__[0]


class ExitCode(IntEnum):
    """What a script reads; ``meaning`` is for people."""

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:  # noqa: D102  an enumeration's own
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done"
    REFUSED = 1, "refused or failed, and standard error says why"
    WRONG_USE = 2, "wrong use: an option or argument is not valid"
    INTERRUPTED = 130, "interrupted by Ctrl-C"


EXIT_CODES = "Exit codes: " + "; ".join(f"{code.value} {code.meaning}" for code in ExitCode) + "."


class Interrupted(Exception):
    """Ctrl-C, with what the command has to say of it."""


class Commands(TyperGroup):
    """The commands, interrupted in words: typer forgets what an interruption says."""

    def invoke(self, ctx: Any) -> object:  # the Context of whichever click it is
        """Run the command that was asked for."""
        from survnode.node.logs import configure_logging

        configure_logging("warning")
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interruption:
            raise Interrupted(*interruption.args) from interruption


def run(app: Callable[..., object], others: Callable[[], type[Exception]] = lambda: NodeError) -> NoReturn:
    """Run the command that the process was started for, and end the process.

    Parameters
    ----------
    others : names what else is a refusal; asked only when something was raised
    """
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # what a terminal cannot write
    try:
        code = _code_of(app, others)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader had enough, as `head` has; Python would complain of it once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = ExitCode.REFUSED
    sys.exit(code)


def _code_of(app: Callable[..., object], others: Callable[[], type[Exception]]) -> int:
    try:
        _refuse_empty_words(sys.argv[1:])
        return int(str(app(prog_name="survnode", standalone_mode=False) or ExitCode.DONE.value))
    except BrokenPipeError:
        raise
    except Exception as error:
        code, words = _code_and_words(error, others)
        if code is None:
            raise
        if words:
            Console(stderr=True, soft_wrap=True).print(words, style="bold red", markup=False, highlight=False)
        return code


def _code_and_words(error: Exception, others: Callable[[], type[Exception]]) -> tuple[ExitCode | None, str]:
    """How a command ends that raised ``error``; None if that is a fault of the program."""
    match error:
        case Interrupted():
            return ExitCode.INTERRUPTED, " ".join(("interrupted.", *map(str, error.args)))
        case typer.Abort():
            return ExitCode.REFUSED, "refused: no answer was given."
        case OSError():
            return ExitCode.REFUSED, f"refused: {_system_words(error)}"
        case _ if isinstance(error, WrongUse):
            return ExitCode.WRONG_USE, _wrong_use(error)
        case _:
            refused = isinstance(error, (NodeError, ModelError, others()))
            return ExitCode.REFUSED if refused else None, f"refused: {error}"


def _refuse_empty_words(words: Sequence[str]) -> None:
    """No option means anything by being empty; an empty path would be the current folder."""
    if any(not word or (word.startswith("--") and word.endswith("=")) for word in words):
        raise typer.BadParameter("an argument is empty; is a variable of the shell not set?")


def _wrong_use(wrong: Exception) -> str:
    """What is wrong, and where help is; nothing for a group without a command, whose help was printed already."""
    words, context = str(getattr(wrong, "format_message", wrong.__str__)()), getattr(wrong, "ctx", None)
    sentence = words.replace("Value error, ", "").replace("Invalid value: ", "").rstrip(".") + "."
    return f"wrong use: {sentence} See {context.command_path if context else 'survnode'} --help." if words else ""


def _system_words(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}."
