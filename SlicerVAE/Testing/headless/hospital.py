"""A library of phantom patients who were added to it from a scene, with the site's key."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import slicer

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.engine import EncodedVolume, EncodeRequest
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.library.access import create_library, create_site_key
from SlicerVAELib.library.records import BundleIdentity, PlanFacts
from SlicerVAELib.scene.library_addition import prepare_addition
from Testing.headless.scene_patients import import_patient


@dataclasses.dataclass(frozen=True)
class Hospital:
    """Where things lie; ``bundle`` is the library's model."""

    library: Path
    key: Path
    bundle: Path


def folder_of(archive: Path, number: int) -> Path:
    """The files of one phantom of a cohort."""
    return archive / f"PHANTOM-{number:04d}"


def encoded_patients(archive: Path, bundle: Path, engine, count: int) -> dict[int, EncodedVolume]:
    """The engine's answer to each patient's image, which does not depend on the scene."""
    return {
        number: engine.encode(EncodeRequest(bundle, read_volume(folder_of(archive, number) / "CT")))
        for number in range(1, count + 1)
    }


def open_hospital(
    place: Path, archive: Path, bundle: Path, encoded: Mapping[int, EncodedVolume], plans: Mapping[int, PlanFacts]
) -> Hospital:
    """Make the key and the library in ``place``, and add the patients of ``plans``."""
    made = Hospital(place / "library.sqlite", place / "keys" / "site.key", bundle)
    slicer.mrmlScene = slicer.vtkMRMLScene()
    identity = BundleIdentity.of(read_manifest(bundle), load_network(bundle).latent)
    create_library(made.library, create_site_key(made.key), identity).close()
    for number, plan in plans.items():
        patient = import_patient(slicer.mrmlScene, folder_of(archive, number))
        job = prepare_addition(
            patient.image,
            made.library,
            bundle,
            segmentation=patient.structures,
            dose=patient.dose,
            plan=plan,
            key=made.key,
            imagesFrom=folder_of(archive, number) / "CT",
            bodyPart="CHEST",
            tags=["trial"],
        )
        job.publish(encoded[number])
    slicer.mrmlScene.Clear(1)
    return made
