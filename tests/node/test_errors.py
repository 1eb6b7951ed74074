import inspect
import re

import pytest

from survnode.model.errors import Reason, SeriesUnsuitable
from survnode.node import errors


def test_the_docstring_draws_every_error() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert [kind.__name__ for kind in classes if kind.__name__ not in (errors.__doc__ or "")] == []


def test_faulty_objects_are_named_and_a_long_list_is_cut() -> None:
    short, long = errors.ObjectFaulty(["a.dcm (0008,0060) x", "b.dcm y"]), errors.ObjectFaulty(["f"] * 12)
    assert str(short).endswith("own rules: a.dcm (0008,0060) x; b.dcm y.")
    assert str(long).endswith("; and 2 more.")
    assert len(long.faults) == 12


def test_only_what_may_pass_by_itself_can_be_retried() -> None:
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    assert {kind.__name__ for kind in classes if issubclass(kind, errors.NodeError) and kind.can_retry} == {
        "StorageFailed",
        "StorageFull",
        "DatabaseBusy",
        "QueryFailed",
        "SourceUnreachable",
        "DeliveryFailed",
        "DestinationUnreachable",
        "AssociationRejected",
        "AuditNotSent",
        "SiteTableFailed",
        "ContextsRejected",
    }


def test_only_our_own_words_are_quoted_of_an_error() -> None:
    assert errors.described(errors.StorageFull("no room")) == "no room"
    assert errors.described(SeriesUnsuitable(Reason.NOT_CT)) == "The images are not CT."
    with pytest.raises(ValueError, match="Doe") as raised:
        raise ValueError("Doe^Jane")
    assert re.fullmatch(r"ValueError at test_errors\.py:\d+\.", errors.described(raised.value))
    assert errors.described(ValueError("Doe^Jane")) == "ValueError."
