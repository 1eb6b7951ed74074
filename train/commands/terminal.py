"""What a person sees of a run in a terminal: a bar a stage, and a table at the end."""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from pydantic import JsonValue
from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from survnode.train.errors import SystemRefused

if TYPE_CHECKING:
    from survnode.train.measure.evaluate import Evaluation

RESUMABLE = "The same command goes on where it was."
COLUMNS = TextColumn("{task.description:<44}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()


class Bars:
    """A progress bar a stage; a listener of `survnode.train.journal`."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._tasks = progress, dict[str, TaskID]()

    def __call__(self, event: str, **fields: JsonValue) -> None:
        """Move a bar, say where a fold is, or pass on a warning."""
        if event == "progress":
            done, total = (float(str(fields[name])) for name in ("done", "total"))
            self._progress.update(self._task(str(fields["stage"])), completed=done, total=total)
        elif event == "epoch":
            words = f"fold {fields['fold']}: epoch {fields['number']}, validation C-td {fields['validation_ctd']}"
            self._progress.update(self._task("folds"), description=words)
        elif event == "warning":
            self._progress.console.print(Text(f"warning: {fields['sentence']}"))

    def close(self) -> None:
        """Leave the bars as they are."""
        if self._tasks:
            self._progress.stop()

    def _task(self, stage: str) -> TaskID:
        self._progress.start()  # with the first stage: what is refused before it leaves no empty line
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=None)
        return self._tasks[stage]


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on the standard error, for work that can be interrupted and begun again.

    Raises
    ------
    SystemRefused
        A disk is full, or a file or folder may not be read or written.
    """
    shown = Bars(Progress(*COLUMNS, console=Console(stderr=True)))
    try:
        with closing(shown):
            yield shown
    except (OSError, sqlite3.Error) as error:
        msg = f"{error}. What is finished is kept. {RESUMABLE}"
        raise SystemRefused(msg) from error
    except KeyboardInterrupt as interruption:
        raise KeyboardInterrupt(RESUMABLE) from interruption


def show_entries(entries: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Print titles, and under each its lines, indented: no name is cut, however narrow the terminal is."""
    console = Console(highlight=False)
    for title, lines in entries:
        console.print(Text(title, style="bold"), soft_wrap=True)
        for line in lines:
            console.print(Padding(Text(line), (0, 0, 0, 4)))


def show_evaluation(evaluation: "Evaluation", title: str, out: Path, *, as_json: bool) -> None:
    """Print all figures with their intervals."""
    if as_json:
        metrics = {name: estimate.model_dump(mode="json") for name, estimate in evaluation.metrics.items()}
        settings = {name: getattr(evaluation, name) for name in ("patients", "deaths", "resamples", "seed")}
        remark = {"remark": evaluation.remark} if evaluation.remark else {}
        leading = {"name": evaluation.leading, **evaluation.lead.model_dump(mode="json")}
        first = {"leading": leading, "sentences": evaluation.sentences}
        typer.echo(json.dumps({"out": str(out), **settings, **remark, **first, "metrics": metrics}))
        return
    from survnode.train.measure.evaluate import FIGURES  # noqa: PLC0415  needs numpy, which --help does without

    deaths = f"{evaluation.deaths} deaths, {evaluation.deaths_by_horizon} within {evaluation.horizon_months} months"
    drawn = f"intervals from {evaluation.resamples} resamples of patients, seed {evaluation.seed}"
    caption = " ".join((f"{evaluation.patients} patients, {deaths}; {drawn}.", *evaluation.sentences))
    table = Table("figure", "value", "95 % interval", title=f"{title}: {out}", caption=caption)
    for name, words in FIGURES.items():
        if name in evaluation.metrics:
            value, low, high = map(_three_digits, evaluation.metrics[name].bounds)
            style = "bold" if name == evaluation.leading else None
            table.add_row(evaluation.called(words, name), value, f"{low} to {high}", style=style)
    Console().print(table)


def _three_digits(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.3f}"
