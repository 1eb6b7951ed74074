"""What a CT's header says of a patient that a model may take: age, sex and weight."""

from collections.abc import Sequence
from datetime import UTC, date, datetime

from pydicom import Dataset

from survnode.model.covariates import Covariate, GivenValues
from survnode.node.results.source.values import clean

HEADER = "the CT's header"
DAYS_PER_YEAR = 365.25
# The names by which tables call what the standard keeps in Patient's Age, Sex and Weight.
AGE = frozenset({"age", "patientage", "patient_age"})
SEX = frozenset({"sex", "gender", "patientsex", "patient_sex"})
WEIGHT = frozenset({"weight", "patientweight", "patient_weight"})
YEARS, KILOGRAMS = frozenset({"", "year", "years", "a", "y"}), frozenset({"", "kg"})
YEARS_OF = {"D": 1 / DAYS_PER_YEAR, "W": 7 / DAYS_PER_YEAR, "M": 1 / 12, "Y": 1.0}  # PS3.5 6.2, AS
SEXES = {"M": ("m", "male"), "F": ("f", "female")}


def header_values(ds: Dataset, covariates: Sequence[Covariate]) -> GivenValues:
    """What ``ds`` says of these covariates; of one whose name or unit is another's, nothing."""
    values = {it.name: _value(ds, it) for it in covariates}
    return GivenValues(HEADER, {name: text for name, text in values.items() if text})


def _value(ds: Dataset, covariate: Covariate) -> str:
    name, unit = covariate.name.lower().replace(" ", "_"), covariate.unit.lower()
    if name in AGE and unit in YEARS:
        return _age(ds)
    if name in SEX:
        words = SEXES.get(str(ds.get("PatientSex", "") or "").strip().upper(), ())
        return next((word for word in words if covariate.parsed(word) is not None), "")
    if name in WEIGHT and unit in KILOGRAMS:
        return _positive(ds.get("PatientWeight"))
    return ""


def _age(ds: Dataset) -> str:
    """In years: as the header says it, or from the dates of birth and study."""
    said = str(ds.get("PatientAge", "") or "").strip()
    if said[:-1].isdigit() and said[-1:] in YEARS_OF:
        return f"{int(said[:-1]) * YEARS_OF[said[-1]]:.4g}"
    born, studied = (_day(ds, keyword) for keyword in ("PatientBirthDate", "StudyDate"))
    if born is None or studied is None or studied < born:
        return ""
    return f"{(studied - born).days / DAYS_PER_YEAR:.1f}"


def _day(ds: Dataset, keyword: str) -> date | None:
    day, _ = clean("DA", str(ds.get(keyword, "") or ""))
    return None if day is None else datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC).date()


def _positive(value: object) -> str:
    try:
        number = float(str(value))
    except ValueError:
        return ""
    return f"{number:g}" if 0 < number < 1000 else ""
