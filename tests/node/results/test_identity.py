from datetime import datetime

import pytest
from pydicom.uid import UID

from survnode.node.results.identity import Layout, derived_uid

from .conftest import a_run


def test_a_derived_uid_is_valid_and_always_the_same() -> None:
    assert derived_uid("report", "x") == derived_uid("report", "x")
    assert derived_uid("report", "x").is_valid
    assert derived_uid("report", "x").startswith("2.25.")


def test_what_is_written_apart_is_not_confused_with_what_is_written_together() -> None:
    assert derived_uid("ab", "c") != derived_uid("a", "bc")


def test_the_namespace_never_changes() -> None:
    assert derived_uid("implementation") == UID("2.25.222689209920316682736813724488297064198")


def test_nothing_is_optional_by_itself() -> None:
    assert Layout().optional == frozenset()


def test_a_run_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        a_run(created=datetime(2026, 1, 1))  # noqa: DTZ001  that is the fault
