"""The application's three slice views, drawn off-screen as a person sees them.

The image of the volumes comes from the slice logic, as in the application; what lies over it (structures, the colour
legend) from the displayable managers.
"""

import os
import sys
from pathlib import Path

import numpy as np
import slicer
import vtk
from PIL import Image
from vtk.util.numpy_support import vtk_to_numpy

if sys.platform == "linux":
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")  # needs no X server

ORIENTATIONS = {"Red": "Axial", "Yellow": "Sagittal", "Green": "Coronal"}
MANAGERS = (slicer.vtkMRMLSegmentationsDisplayableManager2D, slicer.vtkMRMLColorLegendDisplayableManager)


class SliceViews:
    """The views of a scene by their names, each ``width`` × ``height`` pixels; made before what they show is chosen.

    To be closed (it is a context): the managers look for the application's logic whenever the scene changes.
    """

    def __init__(self, scene: slicer.vtkMRMLScene, width: int, height: int) -> None:
        self._logic = slicer.vtkMRMLApplicationLogic()
        self._logic.SetMRMLScene(scene)
        scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self._colors = slicer.vtkMRMLColorLogic()
        self._colors.SetMRMLApplicationLogic(self._logic)
        self._colors.SetMRMLScene(scene)  # adds the application's own colours, the greys of a CT among them
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
        self._slices = vtk.vtkCollection()  # kept here: the application logic holds no reference
        self._logic.SetSliceLogics(self._slices)
        self._views = {}
        for name, orientation in ORIENTATIONS.items():
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._logic)
            logic.SetMRMLScene(scene)
            self._slices.AddItem(logic)
            node = logic.AddSliceNode(name)
            node.SetOrientation(orientation)
            node.SetDimensions(width, height, 1)
            self._views[name] = _SliceView(self._logic, logic)

    def __enter__(self) -> "SliceViews":
        return self

    def __exit__(self, *error: object) -> None:
        for view in self._views.values():
            view.close()

    def __getitem__(self, name: str) -> "_SliceView":
        return self._views[name]


class _SliceView:
    def __init__(self, application: slicer.vtkMRMLApplicationLogic, logic: slicer.vtkMRMLSliceLogic) -> None:
        self.node = logic.GetSliceNode()
        self._logic = logic
        self._image = vtk.vtkImageMapper()
        self._image.SetColorWindow(255)
        self._image.SetColorLevel(127.5)
        actor = vtk.vtkActor2D()
        actor.SetMapper(self._image)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer = vtk.vtkRenderer()
        renderer.AddViewProp(actor)
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(True)
        self._window.SetMultiSamples(0)
        self._window.SetSize(*self.node.GetDimensions()[:2])
        self._window.AddRenderer(renderer)
        self._interactor = vtk.vtkGenericRenderWindowInteractor()
        self._interactor.SetRenderWindow(self._window)
        self._group = slicer.vtkMRMLDisplayableManagerGroup()
        self._group.SetRenderer(renderer)
        for kind in MANAGERS:
            manager = kind()
            manager.SetMRMLApplicationLogic(application)
            self._group.AddDisplayableManager(manager)
        self._group.SetMRMLDisplayableNode(self.node)

    def picture(self) -> np.ndarray:
        """Return what the view shows now, uint8 (height, width, 3), its first row on top."""
        self._image.SetInputConnection(self._logic.GetImageDataConnection())
        self._window.Render()
        grabbed = vtk.vtkWindowToImageFilter()
        grabbed.SetInput(self._window)
        grabbed.ReadFrontBufferOff()
        grabbed.Update()
        image = grabbed.GetOutput()
        width, height, _ = image.GetDimensions()
        return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, 3)[::-1].copy()

    def close(self) -> None:
        """Follow the scene no longer."""
        self._group.SetMRMLDisplayableNode(None)
        self._window.Finalize()

    def pixels_to_ras(self) -> np.ndarray:
        """Return where the middle of each pixel lies, in RAS mm (height, width, 3)."""
        width, height, _ = self.node.GetDimensions()
        matrix = self.node.GetXYToRAS()
        to_ras = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])
        y, x = np.mgrid[height - 1 : -1 : -1, 0:width]
        return np.stack([x, y, np.zeros_like(x), np.ones_like(x)], axis=-1) @ to_ras[:3].T


def save(path: Path, picture: np.ndarray) -> None:
    """Write a picture uint8 (height, width, 3) as a PNG of 256 colours, a half as large as one of all colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The colours of a map are few pixels among greys: a palette by frequency would lose them.
    colors = Image.fromarray(picture).quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=3, dither=Image.Dither.NONE)
    colors.save(path, optimize=True)
