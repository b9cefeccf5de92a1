"""The parameter node on the widgets, without Slicer's wrapper: a plain object over a real scripted module node."""

import sys
import types
from pathlib import Path

import pytest
import slicer


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
        self.modelPath, self.batchFolder, self.batchOutput = Path(), Path(), Path()
        self.AddObserver, self.RemoveObserver = self._node.AddObserver, self._node.RemoveObserver
        self._connectors, self.shown = {}, []

    def connectGui(self, ui):  # noqa: N802
        self.shown.append(ui)
        return f"gui {len(self.shown)}"

    def connectParametersToGui(self, connectors):  # noqa: N802
        for name, connector in connectors.items():
            connector.write(getattr(self, name))
            connector.onChanged(lambda name=name, connector=connector: self.change(**{name: connector.read()}))
        self._connectors["paths"] = connectors
        return "paths"

    def disconnectGui(self, tag):  # noqa: N802
        for connector in self._connectors.pop(tag, {}).values():
            connector.onChanged(None)

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
    for name in ("binding", "path_connector"):
        monkeypatch.delitem(sys.modules, f"SlicerVAELib.panel.{name}", raising=False)
    from SlicerVAELib.panel.binding import ParameterBinding

    yield ParameterBinding
    for name in ("binding", "path_connector"):
        del sys.modules[f"SlicerVAELib.panel.{name}"]


@pytest.fixture
def told():
    return []


def bind(binding_class, told, node, remembered=""):
    edit = PathEdit(remembered)
    binding = binding_class(told.append)
    binding.add(types.SimpleNamespace(modelPathEdit=edit))
    binding.show(node)
    return binding, edit


def test_the_node_is_told_at_once_and_at_every_change(scene, binding_class, told):
    node = Parameters(scene)
    bind(binding_class, told, node)
    assert told == [node]
    node.change()
    assert told == [node, node]


def test_a_section_that_is_opened_later_is_bound_too(scene, binding_class, told):
    node = Parameters(scene)
    binding, _ = bind(binding_class, told, node)
    edit = PathEdit("/results")
    binding.add(types.SimpleNamespace(batchOutputEdit=edit))
    assert len(node.shown) == 2 and node.batchOutput == Path("/results")
    other = Parameters(scene)
    binding.show(other)
    assert len(other.shown) == 2


def test_no_model_is_shown_as_nothing(scene, binding_class, told):
    node = Parameters(scene)
    _, edit = bind(binding_class, told, node)
    assert edit.currentPath == "" and node.modelPath == Path()


def test_the_model_last_used_is_offered_in_a_new_scene_only(scene, binding_class, told):
    node = Parameters(scene)
    bind(binding_class, told, node, remembered="/models/last")
    assert node.modelPath == Path("/models/last")
    saved = Parameters(scene)
    saved.modelPath = Path("/models/saved")
    _, edit = bind(binding_class, told, saved, remembered="/models/last")
    assert edit.currentPath == "/models/saved" and saved.modelPath == Path("/models/saved")


def test_a_path_that_is_typed_is_kept(scene, binding_class, told):
    node = Parameters(scene)
    _, edit = bind(binding_class, told, node)
    edit.currentPath = "/models/typed"
    assert node.modelPath == Path("/models/typed") and told[-1] is node


def test_a_node_that_is_let_go_is_silent(scene, binding_class, told):
    node = Parameters(scene)
    binding, edit = bind(binding_class, told, node)
    binding.show(None)
    count = len(told)
    node.change()
    edit.currentPath = "/models/other"
    assert len(told) == count and edit.currentPathChanged == [] and slicer.mrmlScene is scene
