import pytest

from survnode.model.errors import Reason
from survnode.node.results import codes


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_code_that_fits_its_value_representations(reason: Reason) -> None:
    code = codes.not_analysed(reason)
    assert len(code.value) <= 16  # SH: a longer one would need Long Code Value, which viewers do not show
    assert len(code.meaning) <= 64
    assert code.scheme_designator == codes.SCHEME


def test_no_two_reasons_share_a_code() -> None:
    assert len({codes.not_analysed(reason).value for reason in Reason}) == len(Reason)


def test_each_month_has_its_own_code() -> None:
    assert [codes.cumulative_incidence(month).value for month in (1, 12, 24)] == ["CIF-M01", "CIF-M12", "CIF-M24"]
    assert codes.survival(24).meaning == "Predicted 24-month overall survival probability"


def test_the_private_scheme_says_whose_it_is() -> None:
    scheme = codes.private_scheme()
    assert scheme.CodingSchemeDesignator.startswith("99")  # PS3.3 C.12.1.1.7: private designators
    assert scheme.CodingSchemeResponsibleOrganization == "survnode"
