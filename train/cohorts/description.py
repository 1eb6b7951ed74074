"""What a cohort is, as a TOML file says it: where CT and outcomes lie, and how they are read.

A name stands for a file of this package: ``named/lung1.toml`` and its neighbours. Paths in a file are relative to it.
"""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from survnode.model.fault_words import key_of, rule_of
from survnode.train.cohorts.clinical import Columns, MonthRule
from survnode.train.cohorts.errors import CohortIncomplete, DescriptionRefused
from survnode.train.cohorts.pretreatment import Pretreatment, expression

NAMED = {
    path.stem: path for path in sorted((Path(__file__).parent / "named").glob("*.toml"), key=lambda path: path.stem)
}


class CohortDescription(BaseModel):
    """What every cohort has.

    Parameters
    ----------
    name : of the cohort, in tables and model cards
    data : folder of DICOM files in any layout
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    data: Path | None = None


class TableDescription(CohortDescription):
    """A CSV of outcomes and a tree of DICOM files, joined by the PatientID in the headers.

    Parameters
    ----------
    clinical : CSV of outcomes, one row a patient
    clinical_variables : columns of what is known at the time of the CT, for the question what the image adds to it
    strata : which deaths count as within two years when folds are made
    exclusions : patients to leave out, and why
    exclude_faulty : leave patients with a faulty row out instead of refusing the table
    pretreatment : which CT of a patient counts; None: any
    deidentified : take CT that lack what a de-identifier took, see `survnode.train.cohorts.deidentified`
    nifti : the CT are no DICOM but NIfTI files in ``data``, each of this name with {id} for the patient
    tumour : regular expression, any case, of the regions (RTSTRUCT) or segments (SEG) that are the tumour
    """

    clinical: Path | None = None
    columns: Columns
    clinical_variables: tuple[str, ...] = ()
    strata: MonthRule = MonthRule.EXACT
    exclusions: dict[str, str] = {}
    exclude_faulty: bool = False
    pretreatment: Pretreatment | None = None
    deidentified: bool = False
    nifti: str | None = Field(default=None, pattern=r"\{id\}")
    tumour: str = "gtv|tumou?r|neoplasm"

    @field_validator("tumour")
    @classmethod
    def _is_an_expression(cls, text: str) -> str:
        return expression(text)


class Drawing(BaseModel):
    """Which phantoms: the first ``patients`` of one part of a seed; two parts have none in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patients: int = Field(ge=1)
    seed: int = Field(default=0, ge=0)
    part: int = Field(default=0, ge=0)


class PhantomDescription(CohortDescription):
    """Phantoms: computed when they are needed, or written to ``data`` where there are none."""

    phantoms: Drawing

    @field_validator("data")
    @classmethod
    def _is_no_file(cls, data: Path | None) -> Path | None:
        if data is not None and data.is_file():
            msg = "must be a folder"
            raise ValueError(msg)
        return data


def describe(
    cohort: str, data: Path | None = None, clinical: Path | None = None, *, deidentified: bool = False
) -> CohortDescription:
    """The description of that name or in that file.

    Parameters
    ----------
    data, clinical : in place of what the description says of them
    deidentified : True in place of it

    Raises
    ------
    DescriptionRefused
        With every fault at once.
    CohortIncomplete
        Nothing says where CT or outcomes lie.
    """
    path = NAMED.get(cohort, Path(cohort))
    if not path.is_file():
        raise DescriptionRefused(cohort, [f"must be a TOML file, or one of {', '.join(NAMED)}"])
    return _complete(
        cohort, read_description(path), {"data": data, "clinical": clinical, "deidentified": deidentified or None}
    )


def read_description(path: Path) -> CohortDescription:
    """What a file says, its paths made absolute.

    Raises
    ------
    DescriptionRefused
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DescriptionRefused(path.name, [f"must be readable TOML ({error})"]) from error
    kind = PhantomDescription if "phantoms" in values else TableDescription
    for key in ("data", "clinical"):
        if isinstance(values.get(key), str):
            values[key] = path.resolve().parent / values[key]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise DescriptionRefused(path.name, [_fault(fault) for fault in error.errors(include_url=False)]) from error


def _complete(cohort: str, description: CohortDescription, beside: dict[str, Path | bool | None]) -> CohortDescription:
    """The description with the paths given beside it; each that it needs and nobody names is told."""
    given = {key: path for key, path in beside.items() if path is not None}
    unknown = [f"--{key}" for key in given if key not in type(description).model_fields]
    if unknown:
        raise DescriptionRefused(cohort, [f"{option}: phantoms need none" for option in unknown])
    described = description.model_copy(update=given)
    if isinstance(described, TableDescription):
        needs = {"data": "the folder of its DICOM files", "clinical": "a CSV of outcomes"}
        absent = [f"--{key}, {words}" for key, words in needs.items() if getattr(described, key) is None]
        if absent:
            raise CohortIncomplete(f"The cohort {described.name} needs {', and '.join(absent)}.")
    return described


def _fault(fault: ErrorDetails) -> str:
    where, rule = key_of(fault), rule_of(fault)
    plain = fault["type"] != "missing" and not isinstance(fault["input"], dict)
    value = fault["input"]
    shown = str(value) if isinstance(value, Path) else value
    return f"{where} = {shown!r}: {rule}" if plain else f"{where}: {rule}"
