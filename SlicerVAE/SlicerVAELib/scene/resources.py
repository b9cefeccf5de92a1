"""The files that come with the module, for those who only need to know where they lie."""

from pathlib import Path

RESOURCES = Path(__file__).resolve().parents[2] / "Resources"
MODEL = RESOURCES / "Models" / "demonstration"
PATIENT = RESOURCES / "Demonstration" / "patient.npz"
