"""Structure set, plan and dose of a phantom as DICOM RT objects."""

from pathlib import Path

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, RTDoseStorage, RTPlanStorage, RTStructureSetStorage

from .contours import planar_contours
from .dicom_common import DATE, TIME, add_frame_of_reference, new_dataset, reference, write
from .dicom_ct import slice_uid
from .patient import STRUCTURES, PhantomPatient
from .plan import Beam, Plan

_DETACHED_STUDY = UID("1.2.840.10008.3.1.2.3.1")  # the class that a structure set names its study by
_CONTOUR_DATA = 0x30060050
_DOSE_STEP = 0.0015  # gray; 16 bits then reach 98 Gy. The validator dciodvfy can't read 32
_COLOURS = {
    "BODY": (0, 200, 0),
    "Lung_L": (80, 160, 255),
    "Lung_R": (40, 90, 220),
    "Heart": (230, 60, 60),
    "SpinalCord": (250, 220, 0),
    "PTV": (250, 60, 200),
}
_KINDS = {"BODY": "EXTERNAL", "PTV": "PTV"}


def _number(structure: str) -> int:
    return STRUCTURES.index(structure) + 1


def _start(patient: PhantomPatient, sop_class: UID, kind: str, modality: str, series: int) -> Dataset:
    ds = new_dataset(patient, sop_class, patient.uid(kind), modality)
    ds.SeriesInstanceUID = UID(patient.uid(kind, "series"))
    ds.SeriesNumber = series
    ds.SeriesDescription = f"Phantom {kind}"
    ds.SeriesDate, ds.SeriesTime = DATE, TIME
    ds.OperatorsName = ""
    add_frame_of_reference(ds, patient)
    return ds


# --- Structure set ---------------------------------------------------------------------------------------------------
def write_structures(patient: PhantomPatient, path: Path) -> None:
    """Write the structures as an RT Structure Set with closed planar contours in mm."""
    ds = _start(patient, RTStructureSetStorage, "structures", "RTSTRUCT", 2)
    ds.StructureSetLabel = "PHANTOM"
    ds.StructureSetName = "True structures of the phantom"
    ds.StructureSetDate, ds.StructureSetTime = DATE, TIME
    ds.InstanceNumber = 1
    ds.ReferencedFrameOfReferenceSequence = [_referenced_frame(patient)]
    ds.StructureSetROISequence = [_roi(patient, name) for name in STRUCTURES]
    ds.ROIContourSequence = [_roi_contours(patient, name) for name in STRUCTURES]
    ds.RTROIObservationsSequence = [_observation(name) for name in STRUCTURES]
    ds.ApprovalStatus = "UNAPPROVED"
    write(ds, path)


def _referenced_frame(patient: PhantomPatient) -> Dataset:
    series = Dataset()
    series.SeriesInstanceUID = UID(patient.volume.source.series_uid)
    series.ContourImageSequence = [
        reference(CTImageStorage, slice_uid(patient, k)) for k in range(len(patient.volume.array))
    ]
    study = reference(_DETACHED_STUDY, patient.volume.source.study_uid)
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = UID(patient.volume.source.frame_of_reference_uid)
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(patient: PhantomPatient, name: str) -> Dataset:
    item = Dataset()
    item.ROINumber = _number(name)
    item.ReferencedFrameOfReferenceUID = UID(patient.volume.source.frame_of_reference_uid)
    item.ROIName = name
    item.ROIGenerationAlgorithm = "AUTOMATIC"
    return item


def _roi_contours(patient: PhantomPatient, name: str) -> Dataset:
    spacing, origin, _ = patient.volume.geometry.lps
    item = Dataset()
    item.ROIDisplayColor = list(_COLOURS[name])
    item.ContourSequence = []
    for k, share in enumerate(patient.coverage[name]):
        if not share.any():
            continue
        image, z = reference(CTImageStorage, slice_uid(patient, k)), f"{origin[2] + k * spacing[2]:.4f}"
        for outline in planar_contours(share):
            places = outline * spacing[:2] + origin[:2]
            contour = Dataset()
            contour.ContourImageSequence = [image]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(places)
            # Straight from text: checking every coordinate as a DICOM number would take longer than the whole scan.
            text = "\\".join(f"{x:.3f}\\{y:.3f}\\{z}" for x, y in places.tolist())
            contour[_CONTOUR_DATA] = DataElement(_CONTOUR_DATA, "DS", text, already_converted=True)
            item.ContourSequence.append(contour)
    item.ReferencedROINumber = _number(name)
    return item


def _observation(name: str) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = _number(name)
    item.ROIObservationLabel = name
    item.RTROIInterpretedType = _KINDS.get(name, "ORGAN")
    item.ROIInterpreter = ""
    return item


# --- Plan ------------------------------------------------------------------------------------------------------------
def write_plan(patient: PhantomPatient, plan: Plan, path: Path) -> None:
    """Write beams, prescription and fractions as an RT Plan."""
    ds = _start(patient, RTPlanStorage, "plan", "RTPLAN", 3)
    ds.InstanceNumber = 1
    ds.RTPlanLabel = "PHANTOM"
    ds.RTPlanName = f"Phantom {patient.target.site}"
    ds.RTPlanDate, ds.RTPlanTime = DATE, TIME
    ds.PlanIntent = "RESEARCH"
    ds.RTPlanGeometry = "PATIENT"
    ds.DoseReferenceSequence = [_prescription(patient, plan)]
    ds.FractionGroupSequence = [_fractions(plan)]
    ds.BeamSequence = [_beam(beam, plan) for beam in plan.beams]
    setup = Dataset()
    setup.PatientSetupNumber = 1
    setup.PatientPosition = "HFS"
    setup.SetupTechnique = "ISOCENTRIC"
    ds.PatientSetupSequence = [setup]
    ds.ReferencedStructureSetSequence = [reference(RTStructureSetStorage, patient.uid("structures"))]
    ds.ApprovalStatus = "UNAPPROVED"
    write(ds, path)


def _prescription(patient: PhantomPatient, plan: Plan) -> Dataset:
    item = Dataset()
    item.DoseReferenceNumber = 1
    item.DoseReferenceUID = UID(patient.uid("dose reference"))
    item.DoseReferenceStructureType = "VOLUME"
    item.DoseReferenceDescription = "95 % of the PTV"
    item.DoseReferenceType = "TARGET"
    item.ReferencedROINumber = _number("PTV")
    item.TargetPrescriptionDose = f"{plan.prescription_gy:.2f}"
    item.TargetUnderdoseVolumeFraction = "5"
    return item


def _fractions(plan: Plan) -> Dataset:
    item = Dataset()
    item.FractionGroupNumber = 1
    item.NumberOfFractionsPlanned = plan.fractions
    item.NumberOfBeams = len(plan.beams)
    item.NumberOfBrachyApplicationSetups = 0
    dose_reference = Dataset()
    dose_reference.ReferencedDoseReferenceNumber = 1
    item.ReferencedDoseReferenceSequence = [dose_reference]
    item.ReferencedBeamSequence = []
    for beam in plan.beams:
        entry = Dataset()
        entry.ReferencedBeamNumber = beam.number
        entry.BeamDose = f"{beam.dose_gy:.4f}"
        entry.BeamMeterset = f"{beam.monitor_units:.1f}"
        item.ReferencedBeamSequence.append(entry)
    return item


def _beam(beam: Beam, plan: Plan) -> Dataset:
    item = Dataset()
    item.Manufacturer = "SlicerVAE phantom"
    item.TreatmentMachineName = "PHANTOM"
    item.PrimaryDosimeterUnit = "MU"
    item.SourceAxisDistance = "1000"
    item.BeamLimitingDeviceSequence = []
    for device in ("ASYMX", "ASYMY"):
        jaws = Dataset()
        jaws.RTBeamLimitingDeviceType = device
        jaws.NumberOfLeafJawPairs = 1
        item.BeamLimitingDeviceSequence.append(jaws)
    item.BeamNumber = beam.number
    item.BeamName = f"Field {beam.number} G{beam.gantry:.0f}"
    item.BeamType = "STATIC"
    item.RadiationType = "PHOTON"
    item.TreatmentDeliveryType = "TREATMENT"
    item.NumberOfWedges = item.NumberOfCompensators = item.NumberOfBoli = item.NumberOfBlocks = 0
    item.FinalCumulativeMetersetWeight = "1"
    item.NumberOfControlPoints = 2
    item.ReferencedPatientSetupNumber = 1
    item.ControlPointSequence = [_first_control_point(beam, plan), _last_control_point()]
    return item


def _first_control_point(beam: Beam, plan: Plan) -> Dataset:
    point = Dataset()
    point.ControlPointIndex = 0
    point.NominalBeamEnergy = "6"
    point.DoseRateSet = "600"
    point.BeamLimitingDevicePositionSequence = []
    for device, jaws in (("ASYMX", beam.x_jaws), ("ASYMY", beam.y_jaws)):
        position = Dataset()
        position.RTBeamLimitingDeviceType = device
        position.LeafJawPositions = [f"{jaw:.1f}" for jaw in jaws]
        point.BeamLimitingDevicePositionSequence.append(position)
    point.GantryAngle = f"{beam.gantry:.1f}"
    point.GantryRotationDirection = "NONE"
    point.BeamLimitingDeviceAngle = "0"
    point.BeamLimitingDeviceRotationDirection = "NONE"
    point.PatientSupportAngle = "0"
    point.PatientSupportRotationDirection = "NONE"
    point.TableTopEccentricAngle = "0"
    point.TableTopEccentricRotationDirection = "NONE"
    point.TableTopVerticalPosition = point.TableTopLongitudinalPosition = point.TableTopLateralPosition = ""
    point.IsocenterPosition = [f"{value:.2f}" for value in plan.isocentre]
    point.CumulativeMetersetWeight = "0"
    return point


def _last_control_point() -> Dataset:
    point = Dataset()
    point.ControlPointIndex = 1
    point.CumulativeMetersetWeight = "1"
    return point


# --- Dose ------------------------------------------------------------------------------------------------------------
def write_dose(patient: PhantomPatient, plan: Plan, path: Path) -> None:
    """Write the plan's dose as an RT Dose in gray, one frame a CT slice."""
    spacing, _, _ = patient.volume.geometry.lps
    frames, rows, columns = plan.dose.shape
    ds = _start(patient, RTDoseStorage, "dose", "RTDOSE", 4)
    ds.InstanceNumber = 1
    ds.ContentDate, ds.ContentTime = DATE, TIME
    ds.SliceThickness = f"{spacing[2]:.4f}"
    ds.ImagePositionPatient = [f"{plan.origin[0]:.4f}", f"{plan.origin[1]:.4f}", f"{plan.origin[2]:.4f}"]
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing = [f"{plan.spacing[1]:.4f}", f"{plan.spacing[0]:.4f}"]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.NumberOfFrames = frames
    ds.FrameIncrementPointer = 0x3004000C
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 16, 15
    ds.PixelRepresentation = 0
    ds.DoseUnits = "GY"
    ds.DoseType = "PHYSICAL"
    ds.DoseSummationType = "PLAN"
    ds.GridFrameOffsetVector = [f"{k * spacing[2]:.4f}" for k in range(frames)]
    ds.DoseGridScaling = str(_DOSE_STEP)
    ds.TissueHeterogeneityCorrection = "WATER"
    ds.ReferencedRTPlanSequence = [reference(RTPlanStorage, patient.uid("plan"))]
    ds.PixelData = np.rint(plan.dose / _DOSE_STEP).astype("<u2").tobytes()
    write(ds, path)
