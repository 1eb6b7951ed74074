"""Whom a model has seen is recognised by PatientID or CT, member by member, and nobody is named."""

from survnode.model.seen import Identity, SeenPatients, merge_members

SALT, OTHER = "ab" * 16, "cd" * 16
COHORT = [Identity(f"SECRET-{k}", f"{k:064x}") for k in range(4)]


def test_seen_patient_is_recognised_by_identity_or_image_and_a_new_one_is_not() -> None:
    seen = SeenPatients.of(SALT, COHORT[:3])
    assert seen.has_patient(Identity("SECRET-2", "new"))
    assert not seen.has_image(Identity("SECRET-2", "new"))
    assert seen.has_image(Identity("renamed", COHORT[0].image_key))
    assert not seen.has_patient(COHORT[3])
    assert not seen.has_image(COHORT[3])


def test_no_identity_can_be_read_and_another_salt_gives_other_hashes() -> None:
    text = SeenPatients.of(SALT, COHORT).model_dump_json()
    assert "SECRET" not in text
    assert not set(SeenPatients.of(SALT, COHORT).patients) & set(SeenPatients.of(OTHER, COHORT).patients)


def test_ensemble_knows_of_each_member_whom_it_never_saw() -> None:
    first, second = SeenPatients.of(SALT, COHORT[:3]), SeenPatients.of(SALT, COHORT[1:])
    (merged,) = merge_members([(first,), (second,)])
    assert len(merged.patients) == 4
    assert [merged.of_member(0).has_patient(who) for who in COHORT] == [True, True, True, False]
    assert [merged.of_member(1).has_patient(who) for who in COHORT] == [False, True, True, True]
    assert all(merged.has_patient(who) for who in COHORT)
    assert merged.of_member(0) == first


def test_what_an_initial_model_saw_stays_apart_by_its_salt() -> None:
    own, inherited = SeenPatients.of(SALT, COHORT[:2]), SeenPatients.of(OTHER, COHORT[2:])
    merged = merge_members([(own, inherited), (own,)])
    assert [record.salt for record in merged] == [SALT, OTHER]
    assert merged[1].of_member(0).has_patient(COHORT[3])
    assert not merged[1].of_member(1).has_patient(COHORT[3])


def test_patients_whom_no_member_saw_are_not_seen() -> None:
    record = SeenPatients.of(SALT, COHORT).model_copy(update={"unseen_by": ((0, 1), (1, 2))})
    assert [record.has_patient(who) for who in COHORT].count(False) == 1
