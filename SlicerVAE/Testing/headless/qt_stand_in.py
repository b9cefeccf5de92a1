"""Qt without Slicer: the module's .ui file in PySide6, off-screen, with stand-ins for Slicer's and CTK's own widgets.

Also PythonQt's way of talking to a QProcess, so that the panel's process code runs on the real Qt event loop.
"""

import os
import types
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QFile, QObject, QProcess, Qt, QTimer, Signal, Slot
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import QApplication, QComboBox, QGroupBox, QHBoxLayout, QToolButton, QWidget

UI_FILE = Path(__file__).resolve().parents[2] / "Resources" / "UI" / "SlicerVAE.ui"


def application() -> QApplication:
    return QApplication.instance() or QApplication([])


class qMRMLWidget(QWidget):  # noqa: N801
    mrmlSceneChanged = Signal("vtkMRMLScene*")  # noqa: N815


class qMRMLNodeComboBox(QComboBox):  # noqa: N801
    @Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene) -> None:  # noqa: N802
        pass


class ctkCollapsibleButton(QGroupBox):  # noqa: N801
    """Shows its text as a title; a collapsed one hides its children."""

    def dress(self) -> None:
        self.setTitle(self.property("text"))
        for child in self.findChildren(QWidget) if self.property("collapsed") else []:
            child.setVisible(False)


class ctkPathLineEdit(QWidget):  # noqa: N801
    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        self.remembered: list[str] = []
        self.edit, browse = QComboBox(editable=True), QToolButton(text="…")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.edit, 1)
        layout.addWidget(browse)

    def addCurrentPathToHistory(self) -> None:  # noqa: N802
        self.remembered.append(self.edit.currentText())


STAND_INS = {kind.__name__: kind for kind in (qMRMLWidget, qMRMLNodeComboBox, ctkCollapsibleButton, ctkPathLineEdit)}


class _Loader(QUiLoader):
    def createWidget(self, name, parent=None, object_name=""):  # noqa: N802
        if name not in STAND_INS:
            return super().createWidget(name, parent, object_name)
        widget = STAND_INS[name](parent)
        widget.setObjectName(object_name)
        return widget


def load_ui() -> QWidget:
    """The .ui file's root widget."""
    application()
    file = QFile(str(UI_FILE))
    assert file.open(QFile.OpenModeFlag.ReadOnly)
    root = _Loader().load(file)
    for section in root.findChildren(ctkCollapsibleButton):
        section.dress()
    for selector in root.findChildren(qMRMLNodeComboBox):
        selector.addItem(selector.property("noneDisplay"))
        selector.setSizePolicy(selector.sizePolicy().Policy.Expanding, selector.sizePolicy().Policy.Fixed)
        selector.setMinimumContentsLength(10)
    return root


def children_of(root: QWidget) -> types.SimpleNamespace:
    """Named children as attributes, as ``slicer.util.childWidgetVariables`` gives them."""
    named = {child.objectName(): child for child in root.findChildren(QWidget) if child.objectName()}
    return types.SimpleNamespace(**{name: _Signature(child) for name, child in named.items()})


class _Signature:
    """PythonQt's ``connect("signal(type)", slot)``, which returns False for a signal that is not there."""

    def __init__(self, wrapped: QObject) -> None:
        self.wrapped, self._slots = wrapped, {}

    def connect(self, signal: str, slot) -> bool:
        if self.wrapped.metaObject().indexOfSignal(_normal(signal)) < 0:
            return False
        made = self._slots[signal, slot] = (lambda *_: slot()) if signal.endswith("()") else slot
        getattr(self.wrapped, signal.partition("(")[0]).connect(made)
        return True

    def disconnect(self, signal: str, slot) -> bool:
        return getattr(self.wrapped, signal.partition("(")[0]).disconnect(self._slots.pop((signal, slot)))

    def __getattr__(self, name: str):
        return getattr(self.wrapped, name)


def _normal(signal: str) -> str:
    # QAbstractButton::clicked() is clicked(bool) with its argument left out.
    return "clicked(bool)" if signal == "clicked()" else signal


class _Process(_Signature):
    NormalExit = QProcess.ExitStatus.NormalExit
    FailedToStart = QProcess.ProcessError.FailedToStart
    NotRunning = QProcess.ProcessState.NotRunning

    def __init__(self) -> None:
        super().__init__(QProcess())


def pythonqt() -> types.ModuleType:
    """What ``import qt`` gives in Slicer, as far as the panel uses it."""
    application()
    module = types.ModuleType("qt")
    module.QProcess, module.QTimer, module.Qt = _Process, QTimer, Qt
    return module
