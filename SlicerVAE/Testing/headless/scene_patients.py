"""Phantom patients in the scene as Slicer's DICOM import and SlicerRT put them there."""

import dataclasses
from pathlib import Path

import numpy as np
import slicer
import slicer.util
import vtk

from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.rtdose import read_doses
from SlicerVAELib.io.rtstruct import read_rtstruct


@dataclasses.dataclass(frozen=True)
class ScenePatient:
    """The nodes of a patient, whose ID is ``patient_id``."""

    patient_id: str
    image: slicer.vtkMRMLScalarVolumeNode
    structures: slicer.vtkMRMLSegmentationNode
    dose: slicer.vtkMRMLScalarVolumeNode


def import_patient(scene, folder: Path, *, patient_id: str = "", moved_mm=(0.0, 0.0, 0.0)) -> ScenePatient:
    """The patient of a folder in the scene, under another ID or lying elsewhere where that is asked for."""
    volume = read_volume(folder / "CT")
    (dose,) = read_doses(folder, None)
    move = np.eye(4)
    move[:3, 3] = moved_mm
    patient_id = patient_id or volume.source.patient
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "somebody")
    tree.SetItemUID(patient, "DICOM", patient_id)
    tree.SetItemAttribute(patient, "DICOM.PatientID", patient_id)
    study = tree.CreateStudyItem(patient, "planning")
    tree.SetItemUID(study, "DICOM", volume.source.study_uid)
    image = slicer.util.addVolumeFromArray(volume.array, move @ volume.geometry.ijk_to_ras, "planning CT")
    item = tree.CreateItem(study, image)
    tree.SetItemUID(item, "DICOM", volume.source.series_uid)
    tree.SetItemAttribute(item, "DICOM.Modality", "CT")
    tree.SetItemAttribute(item, "DICOM.FrameOfReferenceUID", volume.source.frame_of_reference_uid)
    gray = slicer.util.addVolumeFromArray(dose.volume.array, move @ dose.volume.geometry.ijk_to_ras, "dose")
    gray.SetAttribute("DicomRtImport.DoseVolume", "1")
    tree.CreateItem(study, gray)
    return ScenePatient(patient_id, image, _structures(scene, tree, study, folder, move), gray)


def _structures(scene, tree, study: int, folder: Path, move: np.ndarray) -> slicer.vtkMRMLSegmentationNode:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "RTSTRUCT")
    node.GetSegmentation().SetSourceRepresentationName("Planar contour")
    for name, contours in read_rtstruct(folder / "RTSTRUCT.dcm").contours.items():
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.AddRepresentation("Planar contour", as_lines([contour + move[:3, 3] for contour in contours]))
        node.GetSegmentation().AddSegment(segment)
    tree.CreateItem(study, node)
    return node


def as_lines(contours: list[np.ndarray]) -> vtk.vtkPolyData:
    """Closed lines, as SlicerRT makes them."""
    points, lines = vtk.vtkPoints(), vtk.vtkCellArray()
    for contour in contours:
        first = points.GetNumberOfPoints()
        for point in contour:
            points.InsertNextPoint(*point)
        lines.InsertNextCell(len(contour) + 1)
        for number in (*range(len(contour)), 0):
            lines.InsertCellPoint(first + number)
    data = vtk.vtkPolyData()
    data.SetPoints(points)
    data.SetLines(lines)
    return data
