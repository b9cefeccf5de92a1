"""The parameter node on the widgets, without Slicer's wrapper: a plain object over a real scripted module node."""

import sys
import types
from pathlib import Path

import pytest
import slicer

from SlicerVAELib.panel.device import Device


class GuiConnector:
    """The base class in Slicer, as far as a connector leans on it."""

    def __init__(self):
        self._callback = None

    def onChanged(self, callback):  # noqa: N802
        self._callback = callback
        (self._disconnect if callback is None else self._connect)()

    def changed(self):
        self._callback()


class Signal(list):
    connect = list.append
    disconnect = list.remove


class PathEdit:
    def __init__(self, remembered=""):
        self._path, self.currentPathChanged = remembered, Signal()

    @property
    def currentPath(self):  # noqa: N802
        return self._path

    @currentPath.setter
    def currentPath(self, path):  # noqa: N802
        if path != self._path:
            self._path = path
            for slot in list(self.currentPathChanged):
                slot()


class Parameters:
    """A parameter node: values, and the node that tells of changes."""

    def __init__(self, scene):
        self._node = scene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")
        self.inputVolume = self.reconstructionVolume = self.residualVolume = self.anomalyVolume = None
        self.device, self.sampleCount, self.sampleSeed, self.modelPath = Device.CPU, 5, 9, Path()
        self.AddObserver, self.RemoveObserver = self._node.AddObserver, self._node.RemoveObserver
        self._connectors = {}

    def connectGui(self, ui):  # noqa: N802
        return "gui"

    def connectParametersToGui(self, connectors):  # noqa: N802
        (connector,) = connectors.values()
        self._connectors["model"] = connector
        connector.write(self.modelPath)
        connector.onChanged(lambda: self.change(modelPath=connector.read()))
        return "model"

    def disconnectGui(self, tag):  # noqa: N802
        if tag in self._connectors:
            self._connectors.pop(tag).onChanged(None)

    def change(self, **values):
        for name, value in values.items():
            setattr(self, name, value)
        self._node.Modified()


@pytest.fixture
def binding_class(monkeypatch):
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    connectors = types.ModuleType("slicer.parameterNodeWrapper.guiConnectors")
    connectors.GuiConnector = GuiConnector
    monkeypatch.setitem(sys.modules, wrapper.__name__, wrapper)
    monkeypatch.setitem(sys.modules, connectors.__name__, connectors)
    for name in ("binding", "model_path"):
        monkeypatch.delitem(sys.modules, f"SlicerVAELib.panel.{name}", raising=False)
    from SlicerVAELib.panel.binding import ParameterBinding

    yield ParameterBinding
    for name in ("binding", "model_path"):
        del sys.modules[f"SlicerVAELib.panel.{name}"]


@pytest.fixture
def told():
    return []


def bind(binding_class, told, node, remembered=""):
    edit = PathEdit(remembered)
    binding = binding_class(types.SimpleNamespace(modelPathEdit=edit), told.append)
    binding.show(node)
    return binding, edit


def test_choices_are_told_at_once_and_at_every_change(scene, binding_class, told):
    node = Parameters(scene)
    bind(binding_class, told, node)
    assert (told[-1].device, told[-1].sample_count, told[-1].sample_seed) == ("cpu", 5, 9)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    node.change(inputVolume=volume, device=Device.CUDA)
    assert told[-1].input is volume and told[-1].device == "cuda"


def test_no_model_is_shown_as_nothing_and_told_as_none(scene, binding_class, told):
    _, edit = bind(binding_class, told, Parameters(scene))
    assert edit.currentPath == "" and told[-1].bundle is None


def test_the_model_last_used_is_offered_in_a_new_scene_only(scene, binding_class, told):
    _, edit = bind(binding_class, told, Parameters(scene), remembered="/models/last")
    assert told[-1].bundle == Path("/models/last")
    saved = Parameters(scene)
    saved.modelPath = Path("/models/saved")
    _, edit = bind(binding_class, told, saved, remembered="/models/last")
    assert edit.currentPath == "/models/saved" and told[-1].bundle == Path("/models/saved")


def test_a_path_that_is_typed_is_told(scene, binding_class, told):
    _, edit = bind(binding_class, told, Parameters(scene))
    edit.currentPath = "/models/typed"
    assert told[-1].bundle == Path("/models/typed")


def test_a_node_that_is_let_go_is_silent(scene, binding_class, told):
    node = Parameters(scene)
    binding, edit = bind(binding_class, told, node)
    binding.show(None)
    count = len(told)
    node.change(sampleCount=1)
    edit.currentPath = "/models/other"
    assert len(told) == count and edit.currentPathChanged == [] and slicer.mrmlScene is scene
