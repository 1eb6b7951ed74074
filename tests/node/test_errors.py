import inspect

from survnode.node import errors


def test_the_docstring_draws_every_error() -> None:
    classes = [name for name, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, Exception)]
    assert [name for name in classes if name not in (errors.__doc__ or "")] == []


def test_faulty_objects_are_named_and_a_long_list_is_cut() -> None:
    short, long = errors.ObjectFaulty(["a.dcm (0008,0060) x", "b.dcm y"]), errors.ObjectFaulty(["f"] * 12)
    assert str(short).endswith("own rules: a.dcm (0008,0060) x; b.dcm y.")
    assert str(long).endswith("; and 2 more.")
    assert len(long.faults) == 12


def test_only_what_may_pass_by_itself_can_be_retried() -> None:
    classes = [found for _, found in inspect.getmembers(errors, inspect.isclass)]
    assert {found.__name__ for found in classes if issubclass(found, errors.NodeError) and found.can_retry} == {
        "StorageFailed",
        "StorageFull",
        "DatabaseBusy",
        "QueryFailed",
        "SourceUnreachable",
        "DeliveryFailed",
        "DestinationUnreachable",
        "AssociationRejected",
        "ContextsRejected",
    }
