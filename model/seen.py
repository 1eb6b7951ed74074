"""Whom a model has seen, so that nobody takes them for new patients: salted hashes, and no identities.

A hash keeps a PatientID from being read, not from being guessed: whoever has a list of identifiers can ask which of
them are among the patients. That is what it is for.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from pydantic import BaseModel, ConfigDict

DIGEST_BYTES = 8  # two of 100,000 patients share a hash by chance in one of 3.7 billion models


@dataclass(frozen=True)
class Identity:
    """What a patient is recognised by: the PatientID, and the key of the CT, which a new name does not change."""

    patient_id: str
    image_key: str


class SeenPatients(BaseModel):
    """The patients of one cohort who trained a model or by whom its epoch was chosen.

    Parameters
    ----------
    salt : of the hashes
    patients, images : the hash of each one's PatientID and of their CT's key, in the same order
    unseen_by : of each member of an ensemble, the rows of those whom it never saw
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    salt: str
    patients: tuple[str, ...]
    images: tuple[str, ...]
    unseen_by: tuple[tuple[int, ...], ...] = ((),)

    @classmethod
    def of(cls, salt: str, identities: Iterable[Identity]) -> Self:
        """Those whom a single model saw."""
        hashed = sorted({(salted(salt, it.patient_id), salted(salt, it.image_key)) for it in identities})
        return cls(salt=salt, patients=tuple(who for who, _ in hashed), images=tuple(image for _, image in hashed))

    def of_member(self, member: int) -> Self:
        """Those whom one member of an ensemble saw."""
        unseen = set(self.unseen_by[member])
        rows = [row for row in range(len(self.patients)) if row not in unseen]
        return type(self)(
            salt=self.salt,
            patients=tuple(self.patients[row] for row in rows),
            images=tuple(self.images[row] for row in rows),
        )

    def has_patient(self, identity: Identity) -> bool:
        """Whether any member saw a patient of this PatientID."""
        return salted(self.salt, identity.patient_id) in self._patients_seen

    def has_image(self, identity: Identity) -> bool:
        """Whether any member saw this CT."""
        return salted(self.salt, identity.image_key) in self._images_seen

    @cached_property
    def _patients_seen(self) -> set[str]:
        return self._seen(self.patients)

    @cached_property
    def _images_seen(self) -> set[str]:
        return self._seen(self.images)

    def _seen(self, hashes: tuple[str, ...]) -> set[str]:
        nobody = set.intersection(*(set(rows) for rows in self.unseen_by)) if self.unseen_by else set[int]()
        return {it for row, it in enumerate(hashes) if row not in nobody}


def salted(salt: str, text: str) -> str:
    """The hash of a PatientID or of a key, hexadecimal."""
    return hashlib.blake2b(text.encode(), key=bytes.fromhex(salt), digest_size=DIGEST_BYTES).hexdigest()


def merge_members(members: Sequence[tuple[SeenPatients, ...]]) -> tuple[SeenPatients, ...]:
    """What the members of an ensemble saw, each a single model, as one record a cohort."""
    salts = dict.fromkeys(record.salt for records in members for record in records)
    return tuple(_merge(salt, [_pairs(salt, records) for records in members]) for salt in salts)


def _pairs(salt: str, records: Iterable[SeenPatients]) -> set[tuple[str, str]]:
    return {
        pair for record in records if record.salt == salt for pair in zip(record.patients, record.images, strict=True)
    }


def _merge(salt: str, members: Sequence[set[tuple[str, str]]]) -> SeenPatients:
    everybody = sorted(set[tuple[str, str]]().union(*members))
    unseen_by = tuple(tuple(row for row, pair in enumerate(everybody) if pair not in seen) for seen in members)
    return SeenPatients(
        salt=salt,
        patients=tuple(who for who, _ in everybody),
        images=tuple(image for _, image in everybody),
        unseen_by=unseen_by,
    )
