"""Qt without Slicer: the module's .ui file in PySide6, off-screen, with stand-ins for Slicer's and CTK's own widgets.

Also PythonQt's way of talking to a QProcess, so that the panel's process code runs on the real Qt event loop.
"""

import os
import types
from pathlib import Path
from typing import ClassVar

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtCore import QByteArray, QEvent, QFile, QObject, QProcess, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QBrush, QColor, QIcon, QPixmap
from PySide6.QtUiTools import QUiLoader
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDoubleSpinBox,
    QGroupBox,
    QHBoxLayout,
    QListWidgetItem,
    QSlider,
    QTableWidgetItem,
    QToolButton,
    QWidget,
)

UI_FOLDER = Path(__file__).resolve().parents[2] / "Resources" / "UI"


def application() -> QApplication:
    return QApplication.instance() or QApplication([])


class qMRMLWidget(QWidget):  # noqa: N801
    mrmlSceneChanged = Signal("vtkMRMLScene*")  # noqa: N815


class qMRMLNodeComboBox(QComboBox):  # noqa: N801
    @Slot("vtkMRMLScene*")
    def setMRMLScene(self, scene) -> None:  # noqa: N802
        pass

    def addAttribute(self, node_type: str, name: str, value: str) -> None:  # noqa: N802
        self.offered = (node_type, name, value)


class ctkCollapsibleButton(QGroupBox):  # noqa: N801
    """Shows its text as a title; a collapsed one shows nothing else."""

    contentsCollapsed = Signal(bool)  # noqa: N815

    def dress(self) -> None:
        self.setTitle(self.property("text"))
        self._collapsed = bool(self.property("collapsed"))

    @property
    def collapsed(self) -> bool:
        return self._collapsed

    def expand(self) -> None:
        """What a click on the header does to a collapsed one."""
        self._collapsed = False
        self.contentsCollapsed.emit(False)


class ctkSliderWidget(QWidget):  # noqa: N801
    """A slider with a box for its value, its range and suffix taken from the properties."""

    valueChanged = Signal(float)  # noqa: N815

    def __init__(self, parent=None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(QSlider(Qt.Orientation.Horizontal), 1)
        self.box = QDoubleSpinBox()
        self.box.valueChanged.connect(self.valueChanged)
        layout.addWidget(self.box)

    def setValue(self, value: float) -> None:  # noqa: N802
        self.box.setValue(value)

    def event(self, event) -> bool:
        if event.type() == QEvent.Type.DynamicPropertyChange:
            self.box.setSuffix(self.property("suffix") or "")
            self.box.setMinimum(self.property("minimum") or 0.0)
            self.box.setMaximum(self.property("maximum") or 99.99)
            self.box.setValue(self.property("value") or 0.0)
        return super().event(event)


class ctkPathLineEdit(QWidget):  # noqa: N801
    currentPathChanged = Signal(str)  # noqa: N815

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


STAND_INS = {
    kind.__name__: kind
    for kind in (qMRMLWidget, qMRMLNodeComboBox, ctkCollapsibleButton, ctkPathLineEdit, ctkSliderWidget)
}


class _Loader(QUiLoader):
    def createWidget(self, name, parent=None, object_name=""):  # noqa: N802
        if name not in STAND_INS:
            return super().createWidget(name, parent, object_name)
        widget = STAND_INS[name](parent)
        widget.setObjectName(object_name)
        return widget


def load_ui(name: str = "SlicerVAE.ui") -> QWidget:
    """The root widget of one of the module's .ui files."""
    application()
    file = QFile(str(UI_FOLDER / name))
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
    """PythonQt's ``connect("signal(type)", slot)``, which returns False for a signal that is not there, and its
    properties that are attributes."""

    def __init__(self, wrapped: QObject) -> None:
        self.__dict__ |= {"wrapped": wrapped, "_slots": {}}

    def __setattr__(self, name: str, value) -> None:
        self.wrapped.setProperty(name, value)

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


class _Timer(_Signature):
    singleShot = staticmethod(QTimer.singleShot)  # noqa: N815

    def __init__(self) -> None:
        super().__init__(QTimer())


class _Flags:
    """PythonQt's enums sit on the class itself."""

    ItemIsEnabled, ItemIsSelectable = Qt.ItemFlag.ItemIsEnabled, Qt.ItemFlag.ItemIsSelectable
    ItemIsUserCheckable = Qt.ItemFlag.ItemIsUserCheckable
    Checked, Unchecked = Qt.CheckState.Checked, Qt.CheckState.Unchecked


class _Settings:
    """The application's settings, kept for as long as the test lives."""

    values: ClassVar[dict[str, str]] = {}

    def value(self, key: str) -> str | None:
        return self.values.get(key)

    def setValue(self, key: str, value: str) -> None:  # noqa: N802
        self.values[key] = value


class _Dialogs:
    """What a person answers to the dialogs; PythonQt gives a text where PySide6 gives a pair."""

    text, file = "", ""

    @classmethod
    def getText(cls, parent, title: str, label: str) -> str:  # noqa: N802
        return cls.text

    @classmethod
    def getOpenFileName(cls, parent, title: str, folder: str, filters: str) -> str:  # noqa: N802
        return cls.file

    getSaveFileName = getOpenFileName  # noqa: N815


class _ComboBox(QComboBox):
    """A list that the panel makes itself."""

    def __init__(self) -> None:
        super().__init__()
        self._signature = _Signature(self)

    def connect(self, signal: str, slot) -> bool:
        return self._signature.connect(signal, slot)

    def disconnect(self, signal: str, slot) -> bool:
        return self._signature.disconnect(signal, slot)


def pythonqt() -> types.ModuleType:
    """What ``import qt`` gives in Slicer, as far as the panel uses it."""
    application()
    module = types.ModuleType("qt")
    module.QProcess, module.QTimer, module.Qt = _Process, _Timer, _Flags
    module.QTableWidgetItem, module.QComboBox, module.QListWidgetItem = QTableWidgetItem, _ComboBox, QListWidgetItem
    module.QPixmap, module.QIcon, module.QByteArray = QPixmap, QIcon, QByteArray
    module.QBrush, module.QColor = QBrush, QColor
    module.QSettings = type("QSettings", (_Settings,), {"values": {}})
    module.QInputDialog = module.QFileDialog = type("Dialogs", (_Dialogs,), {})
    return module
