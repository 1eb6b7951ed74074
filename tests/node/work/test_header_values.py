"""Age, sex and weight, as a CT's header says them to a model."""

import pytest
from pydicom import Dataset

from survnode.model.covariates import Covariate, CovariateKind
from survnode.node.work.header_values import header_values

NUMBER = CovariateKind.NUMBER


def said(covariate: Covariate, **header: str) -> str | None:
    ds = Dataset()
    for keyword, value in header.items():
        setattr(ds, keyword, value)
    return header_values(ds, [covariate]).values.get(covariate.name)


@pytest.mark.parametrize(("age", "years"), [("064Y", "64"), ("018M", "1.5"), ("026W", "0.4983"), ("", None)])
def test_age_is_in_years(age: str, years: str | None) -> None:
    assert said(Covariate(name="age", kind=NUMBER, unit="years"), PatientAge=age) == years


def test_age_without_an_age_is_from_birth_to_study() -> None:
    covariate = Covariate(name="Age", kind=NUMBER)
    assert said(covariate, PatientBirthDate="19500101", StudyDate="20200701") == "70.5"
    assert said(covariate, PatientBirthDate="20200101", StudyDate="19500701") is None
    assert said(covariate, PatientBirthDate="", StudyDate="20200701") is None


@pytest.mark.parametrize("levels", [("female", "male"), ("F", "M"), ("f", "m")])
def test_sex_is_written_as_the_model_writes_it(levels: tuple[str, ...]) -> None:
    covariate = Covariate(name="gender", kind=CovariateKind.CATEGORY, levels=levels)
    assert covariate.parsed(said(covariate, PatientSex="M")) == levels[1]
    assert said(covariate, PatientSex="O") is None


def test_weight_is_in_kilograms_and_positive() -> None:
    assert said(Covariate(name="weight", kind=NUMBER, unit="kg"), PatientWeight="71.5") == "71.5"
    assert said(Covariate(name="weight", kind=NUMBER, unit="kg"), PatientWeight="0") is None


def test_header_says_nothing_of_what_has_another_name_or_unit() -> None:
    header = {"PatientAge": "064Y", "PatientWeight": "71"}
    for covariate in (
        Covariate(name="age", kind=NUMBER, unit="months"),
        Covariate(name="weight", kind=NUMBER, unit="lb"),
        Covariate(name="hb", kind=NUMBER),
    ):
        assert said(covariate, **header) is None
