"""Procedural CT of the thorax: phantom patients whose true anatomy is known, written as real DICOM.

Sizes, variations and Hounsfield units come from published anatomy (``constants``); they are versioned and frozen.
"""

from .cohort import CohortRecord, write_cohort
from .constants import PHANTOM_VERSION
from .lesions import HEALTHY, LesionPolicy
from .patient import STRUCTURES, PhantomPatient, make_patient

__all__ = [
    "HEALTHY",
    "PHANTOM_VERSION",
    "STRUCTURES",
    "CohortRecord",
    "LesionPolicy",
    "PhantomPatient",
    "make_patient",
    "write_cohort",
]
