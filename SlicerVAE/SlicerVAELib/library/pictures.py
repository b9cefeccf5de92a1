"""Which pictures may be kept: not those from which a face can be rebuilt."""

from ..core.errors import UserError
from .records import SeriesRecord

_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_BYTES = 1 << 20
# DICOM's body parts below the neck. What is not among them, or is not said, may show a face.
_WITHOUT_HEAD = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "ADRENAL", "ANKLE", "AORTA", "ARM", "AXILLA", "BACK", "BLADDER", "BREAST"),
        *("BRONCHUS", "BUTTOCK", "CALF", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "COCCYX", "COLON"),
        *("DUODENUM", "ELBOW", "ESOPHAGUS", "EXTREMITY", "FINGER", "FOOT", "FOREARM", "GALLBLADDER", "HAND", "HEART"),
        *("HIP", "HUMERUS", "ILIUM", "KIDNEY", "KNEE", "LEG", "LIVER", "LSPINE", "LSSPINE", "LUNG", "LUNGS"),
        *("MEDIASTINUM", "PANCREAS", "PELVIS", "PROSTATE", "RECTUM", "RIB", "SACRUM", "SCAPULA", "SHOULDER", "SIJOINT"),
        *("SPLEEN", "SSPINE", "STERNUM", "STOMACH", "THIGH", "THORAX", "THORAXABDOMEN", "TLSPINE", "TOE", "TSPINE"),
        *("TORSO", "TRUNK", "UTERUS", "WRIST"),
    )
)


def may_show_head(body_part: str) -> bool:
    """Whether images of this body part, in DICOM's words or a clinic's, may show a head; so may those that do not say
    what they show."""
    return "".join(letter for letter in body_part.upper() if letter.isalpha()) not in _WITHOUT_HEAD


def check_pictures(series: SeriesRecord, keeps_heads: bool) -> None:
    """Raise UserError for what is no PNG of moderate size, and for a head where the library keeps none."""
    part = series.facts.body_part
    if series.thumbnails and may_show_head(part) and not keeps_heads:
        shown = f"'{part}'" if part else "an unknown body part"
        raise UserError(
            f"Pictures of {shown} may show a face and this library keeps none of heads; "
            "leave them out, or create a library that keeps them."
        )
    for thumbnail in series.thumbnails:
        if not thumbnail.png.startswith(_PNG) or len(thumbnail.png) > _LARGEST_BYTES:
            raise UserError(f"A picture of the library is a PNG of at most {_LARGEST_BYTES >> 20} MB; make it smaller.")
