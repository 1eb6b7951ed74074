"""A cohort as its description says: read from a table and a tree, or computed."""

from dataclasses import replace
from itertools import count
from pathlib import Path

from survnode.train.cohorts import phantom_tree
from survnode.train.cohorts.clinical import Reading
from survnode.train.cohorts.cohort import Cohort
from survnode.train.cohorts.description import CohortDescription, Drawing, PhantomDescription, TableDescription
from survnode.train.cohorts.phantom import PhantomPatient, draw_phantoms
from survnode.train.cohorts.table import read_table
from survnode.train.journal import PROGRESS, RunListener, unheard


def load(
    described: CohortDescription,
    caches: Path,
    reading: Reading,
    *,
    listener: RunListener = unheard,
    workers: int = 1,
) -> Cohort:
    """The cohort; phantoms that belong on a disk are written first where there are none.

    Parameters
    ----------
    caches : what headers say is kept there
    workers : processes that paint phantoms

    Raises
    ------
    ClinicalTableRefused, TreeMissing, CohortIncomplete
    """
    computed = isinstance(described, PhantomDescription)
    if isinstance(described, PhantomDescription):
        patients = _drawn(described.name, described.phantoms)
        if described.data is None:
            return Cohort(described.name, patients, computed=True)
        _write_phantoms(described.data, patients, listener, workers)
        described = phantom_tree.described(described.data, described.name)
    if not isinstance(described, TableDescription):
        msg = f"{type(described).__name__} describes no kind of cohort that can be read"
        raise TypeError(msg)

    def report(stage: str, done: int, total: int) -> None:
        listener(PROGRESS, stage=stage, done=done, total=total)

    cohort = read_table(
        described,
        caches / "headers.sqlite",
        reading,
        indexed=lambda done, total: report("headers", done, total),
        judged=lambda done, total: report("series", done, total),
    )
    return replace(cohort, computed=computed)


def _drawn(name: str, drawing: Drawing) -> tuple[PhantomPatient, ...]:
    return draw_phantoms(drawing.patients, drawing.seed, drawing.part, name.upper())


def _write_phantoms(folder: Path, patients: tuple[PhantomPatient, ...], listener: RunListener, workers: int) -> None:
    if (folder / phantom_tree.CLINICAL).exists():
        return
    done = count(1)

    def painted() -> None:
        listener(PROGRESS, stage="phantoms", done=next(done), total=len(patients))

    phantom_tree.write_tree(folder, patients, workers=workers, done=painted)
