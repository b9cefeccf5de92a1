"""Input and reconstruction in one window and level: whoever changes the one changes the other."""

import vtk

from .nodes import VolumeNode


class SharedWindow:
    """Follows two volumes, of which neither is held when the other is gone."""

    def __init__(self) -> None:
        self._pair: tuple[VolumeNode, VolumeNode] | None = None
        self._observers: list[tuple[vtk.vtkObject, int]] = []

    def share(self, first: VolumeNode | None, second: VolumeNode | None) -> None:
        """Let the second look like the first, now and whenever one of them changes; None ends it."""
        pair = (first, second) if first is not None and second is not None else None
        if pair == self._pair:
            return
        for display, tag in self._observers:
            display.RemoveObserver(tag)
        self._pair, self._observers = None, []
        if pair is None or any(node.GetDisplayNode() is None for node in pair):
            return
        self._pair = pair
        displays = [node.GetDisplayNode() for node in pair]
        _copy(displays[0], displays[1])
        for source, target in (displays, displays[::-1]):
            tag = source.AddObserver(vtk.vtkCommand.ModifiedEvent, _Copier(source, target))
            self._observers.append((source, tag))


class _Copier:
    """The observer of one display node."""

    def __init__(self, source: vtk.vtkObject, target: vtk.vtkObject) -> None:
        self._source, self._target = source, target

    def __call__(self, *_: object) -> None:
        _copy(self._source, self._target)


def _copy(source: vtk.vtkObject, target: vtk.vtkObject) -> None:
    wanted = (source.GetWindow(), source.GetLevel())
    if (target.GetWindow(), target.GetLevel()) != wanted:
        target.AutoWindowLevelOff()
        target.SetWindowLevel(*wanted)
