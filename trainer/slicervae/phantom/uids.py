"""Names of phantom patients, and their unique identifiers, which depend on nothing but what is in them."""

from pydicom.uid import PYDICOM_ROOT_UID, UID, generate_uid

from .constants import PHANTOM_VERSION

IMPLEMENTATION_UID = generate_uid(PYDICOM_ROOT_UID, entropy_srcs=["SlicerVAE phantom", "implementation"])


def identifier_of(number: int) -> str:
    """Patient ID of patient ``number`` (from 1)."""
    return f"PHANTOM-{number:04d}"


def uid(kind: str, *key: object) -> UID:
    """The unique identifier of a thing of this kind with this content, the same every time."""
    return generate_uid(PYDICOM_ROOT_UID, entropy_srcs=["SlicerVAE phantom", PHANTOM_VERSION, kind, *map(str, key)])
