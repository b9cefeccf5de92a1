"""The panel without its window: a plain parameter node, runners that compute in this process, packages at will."""

import contextlib
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.panel.ports import Aside, InfoRequest
from SlicerVAELib.panel.section import Panel
from SlicerVAELib.worker.questions import question_of


class Parameters:
    """The fields and defaults of the real parameter node; ``changed`` is called after each change."""

    def __init__(self, **values: Any) -> None:
        self.__dict__["changed"] = lambda: None
        with _wrapper():
            source = importlib.import_module("SlicerVAELib.panel.parameters").SlicerVAEParameterNode
        for name, kind in get_type_hints(source, include_extras=True).items():
            self.__dict__[name] = getattr(source, name, _default(kind))
        assert set(values) <= set(self.__dict__), "no such parameter"
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in self.__dict__, name
        self.__dict__[name] = value
        self.changed()


def _default(kind: Any) -> Any:
    if kind is Path:
        return Path()
    origin = get_origin(kind)
    return origin() if origin in (dict, list) else None


@contextlib.contextmanager
def _wrapper() -> Iterator[None]:
    """Slicer's wrapper needs the application; the class under it does not."""
    module = types.ModuleType("slicer.parameterNodeWrapper")
    module.parameterNodeWrapper = lambda cls: cls
    module.WithinRange = lambda low, high: (low, high)
    sys.modules[module.__name__] = module
    try:
        yield
    finally:
        del sys.modules[module.__name__]
        sys.modules.pop("SlicerVAELib.panel.parameters", None)


class BlockingRunner:
    """Computes at once; the listener is told before ``start`` returns."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._cancel, self.requests, self.closed = engine, Cancel(), [], False

    def start(self, request: Any, listener: Any) -> None:
        self.requests.append(request)
        self._cancel = Cancel()
        try:
            result = self._answer(request, listener)
        except (UserError, Cancelled) as error:
            listener.failed(error)
        else:
            listener.finished(result)

    def _answer(self, request: Any, listener: Any) -> Any:
        if isinstance(request, InfoRequest):
            return self._engine.info()
        if isinstance(request, Aside):
            return request.work(listener.progressed, self._cancel)
        return question_of(request).answered_by(self._engine)(request, listener.progressed, self._cancel)

    def cancel(self) -> None:
        self._cancel.request()

    def close(self) -> None:
        self.closed = True


class LateRunner(BlockingRunner):
    """Answers when the test says so, and is too far on to be cancelled."""

    def start(self, request: Any, listener: Any) -> None:
        self.requests.append(request)
        self._listener = listener

    def answer(self) -> None:
        super().start(self.requests[-1], self._listener)

    def cancel(self) -> None:
        pass


class Packages:
    """What is missing, and how installing it ends."""

    def __init__(self, missing: tuple[str, ...] = (), outcome: Exception | None = None) -> None:
        self._missing, self._outcome, self.installs, self.folders = tuple(missing), outcome, 0, []

    def missing(self) -> tuple[str, ...]:
        return self._missing

    def install(self) -> None:
        self.installs += 1
        if self._outcome is not None:
            raise self._outcome
        self._missing = ()

    def install_from(self, folder: Path) -> None:
        self.folders.append(folder)
        self.install()


class Window:
    """A view of any section: keeps what was drawn, and does what a person would do while it is drawn."""

    def __init__(self) -> None:
        self.drawn: list[Any] = []
        self.meanwhile: Callable[[Any], None] = lambda state: None

    def draw(self, state: Any) -> None:
        self.drawn.append(state)
        self.meanwhile(state)

    def once_laid_out(self, act: Callable[[], None]) -> None:
        act()

    @property
    def now(self) -> Any:
        return self.drawn[-1]


def make_panel(runner: Any, parameters: Parameters, packages: Packages | None = None) -> Panel:
    """A panel that shows these parameters, without any section."""
    panel = Panel(lambda: runner, packages or Packages(), lambda: None)
    parameters.__dict__["changed"] = panel.refresh
    panel.show(parameters)
    panel.look_again()
    return panel
