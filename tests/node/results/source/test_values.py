import pytest

from survnode.node.results.source.values import clean


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("PN", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("PN", "Παπαδόπουλος^Γιώργος"),
        ("LO", "x" * 64),
        ("SH", "x" * 16),
        ("DA", "19500102"),
        ("TM", "101500.123456"),
        ("TM", "10"),
        ("TM", "235960"),
        ("AS", "083Y"),
        ("DS", "72"),
        ("DS", "-1.5e+02"),
        ("CS", "CHEST"),
    ],
)
def test_a_valid_value_stays_as_it_is(vr: str, value: str) -> None:
    assert clean(vr, value) == (value, None)


@pytest.mark.parametrize(
    ("vr", "value", "written"),
    [
        ("TM", "10:15", "1015"),
        ("TM", "10:15:30.5", "101530.5"),
        ("DA", "1950.01.02", "19500102"),
        ("DA", "1950-01-02", "19500102"),
        ("CS", "m", "M"),
        ("LO", "y" * 65, "y" * 64),
        ("LO", "left\\right", "left/right"),
        ("LO", "a\x1bb\nc", "abc"),
        ("LO", "a\ud800b", "ab"),
        ("PN", "A^B^C^D^E^F", "A^B^C^D^E"),
        ("PN", "a=b=c=d", "a=b=c"),
        ("PN", "n" * 70 + "=kanji", "n" * 64 + "=kanji"),
    ],
)
def test_what_can_be_mended_is_mended_and_told(vr: str, value: str, written: str) -> None:
    cleaned, rule = clean(vr, value)
    assert cleaned == written
    assert rule is not None
    assert value not in rule


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("TM", "2500"), ("TM", "10:60"), ("TM", "soon"), ("DA", "19501302"), ("DA", "1950"), ("AS", "83"),
        ("DS", "heavy"), ("DS", "1" * 17), ("CS", "not a code string!"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_is_left_out_and_told(vr: str, value: str) -> None:
    cleaned, rule = clean(vr, value)
    assert cleaned is None
    assert rule is not None
    assert value not in rule


def test_an_over_long_code_is_left_out_since_a_shorter_one_could_be_anothers() -> None:
    assert clean("SH", "2" * 17)[0] is None


@pytest.mark.parametrize(("vr", "limit"), [("LO", 64), ("SH", 16)])
def test_an_over_long_identifier_is_kept_and_told(vr: str, limit: int) -> None:
    cleaned, rule = clean(vr, "7" * 80, shorten=False)
    assert (cleaned, rule) == (
        "7" * 80,
        f"longer than {limit} characters: kept, since another identifier would be another's",
    )


@pytest.mark.parametrize("vr", ["PN", "LO", "DA", "TM", "CS", "DS"])
def test_padding_and_nothing_are_no_value_and_no_fault(vr: str) -> None:
    assert clean(vr, " \0 ") == (None, None)
