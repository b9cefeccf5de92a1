"""The demonstration patient: a phantom whom the demonstration model has never seen, with what it finds there."""

import dataclasses
from pathlib import Path

import numpy as np

from SlicerVAELib.core.declaration import PHANTOM
from SlicerVAELib.core.demonstration import DemonstrationPatient, write_demonstration
from SlicerVAELib.core.engine import AnomalyOptions, Hardware, ReconstructRequest
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.progress import Cancel, Listener, part_of
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume

from ..phantom import LesionPolicy, PhantomPatient, make_patient
from ..phantom.plan import make_plan

SEED, NUMBER = 21, 6  # a large effusion: seen at a glance
SIZE, SLICES = 160, 48
NAME = "demonstration phantom"


def make_patient_file(
    out: Path, bundle: Path, *, size: int = SIZE, slices: int = SLICES, listener: Listener, cancel: Cancel
) -> DemonstrationPatient:
    """Write the demonstration patient, of that many pixels and slices, to the file ``out``, with what the model in
    ``bundle`` finds, and return it.

    Raises UserError and Cancelled.
    """
    phantom = make_patient(
        SEED,
        NUMBER,
        size=size,
        slices=slices,
        lesions=LesionPolicy(1.0),
        progress=part_of(listener, 0.0, 0.5),
        cancel=cancel,
    )
    volume = phantom.volume.replace(source=Source(name=NAME, description=PHANTOM, body_part="CHEST"))
    outputs = ("reconstruction", "anomaly")
    inside = AnomalyOptions(body_erosion_mm=0.0)  # as the panel asks for it
    request = ReconstructRequest(bundle, volume.replace(masks={}), outputs, inside, hardware=Hardware("cpu"))
    result = LocalEngine().reconstruct(request, part_of(listener, 0.5, 1.0), cancel)
    patient = DemonstrationPatient(volume, _dose_of(phantom), dataclasses.replace(result, timings={}))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_demonstration(out, patient)
    return patient


def _dose_of(phantom: PhantomPatient) -> Volume:
    """The plan's dose in Gy, on its own grid in the patient."""
    plan = make_plan(phantom)
    spacing = (*plan.spacing, float(phantom.volume.geometry.spacing[2]))
    slices, rows, columns = plan.dose.shape
    geometry = Geometry.from_lps((slices, rows, columns), spacing=spacing, origin=plan.origin)
    return Volume(plan.dose.astype(np.float32), geometry, Modality.DOSE)
