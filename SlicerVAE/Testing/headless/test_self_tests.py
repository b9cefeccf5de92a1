"""The self tests of the logic, which Slicer runs in the application, on slicer-core."""

import pytest

pytest.importorskip("slicer", reason="the scene needs the package slicer-core")

import slicer

from Testing.Python import SlicerVAELogicTest


class TestLogic(SlicerVAELogicTest.SlicerVAELogicTest):
    """In a scene of its own, which the application would have made."""

    def setUp(self) -> None:
        slicer.mrmlScene = slicer.vtkMRMLScene()
        slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        super().setUp()
