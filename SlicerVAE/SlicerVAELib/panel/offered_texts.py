"""Lists whose entries are known only when the panel lives: what a library holds, to choose from."""

from collections.abc import Callable
from typing import Any

import qt

from .connections import Connections


class OfferedTexts:
    """A QComboBox of texts; ``nothing`` is its first entry, which stands for an empty text.

    ``chosen`` is called with the text that the person chose.
    """

    def __init__(self, combo: Any, nothing: str, connections: Connections, chosen: Callable[[str], None]) -> None:
        self._combo, self._nothing, self._tell = combo, nothing, chosen
        self._offered: tuple[str, ...] = ()
        self._shown: tuple[tuple[str, ...], str] | None = None
        connections.connect(combo, "activated(int)", self._on_activated)

    def show(self, texts: tuple[str, ...], chosen: str) -> None:
        """Offer the texts, and the chosen one too where it is not among them."""
        if (texts, chosen) == self._shown:
            return
        self._shown = texts, chosen
        self._offered = tuple(dict.fromkeys((*texts, *filter(None, [chosen]))))
        blocked = self._combo.blockSignals(True)
        self._combo.clear()
        for text in (self._nothing, *self._offered):
            self._combo.addItem(text)
        self._combo.setCurrentIndex(self._offered.index(chosen) + 1 if chosen else 0)
        self._combo.blockSignals(blocked)

    def _on_activated(self, index: int) -> None:
        self._shown = None  # the person changed what is shown; where that is refused, it is shown as it was
        self._tell(("", *self._offered)[index])


class OfferedChecks:
    """A QListWidget of texts with a box to check each; ``chosen`` is called with all that are checked."""

    def __init__(self, widget: Any, connections: Connections, chosen: Callable[[tuple[str, ...]], None]) -> None:
        self._widget, self._tell = widget, chosen
        self._items: dict[str, Any] = {}
        self._shown: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        connections.connect(widget, "itemChanged(QListWidgetItem*)", self._on_changed)

    def show(self, texts: tuple[str, ...], chosen: tuple[str, ...]) -> None:
        """Offer the texts, and the chosen ones too where they are not among them."""
        if (texts, chosen) == self._shown:
            return
        self._shown = texts, chosen
        blocked = self._widget.blockSignals(True)
        self._widget.clear()
        self._items = {text: self._item(text, text in chosen) for text in dict.fromkeys((*texts, *chosen))}
        self._widget.blockSignals(blocked)

    def _item(self, text: str, is_checked: bool) -> Any:
        item = qt.QListWidgetItem(text)
        item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
        item.setCheckState(qt.Qt.Checked if is_checked else qt.Qt.Unchecked)
        self._widget.addItem(item)
        return item

    def _on_changed(self, _item: object) -> None:
        checked = tuple(text for text, item in self._items.items() if item.checkState() == qt.Qt.Checked)
        self._shown = self._shown[0], checked  # the boxes show it already
        self._tell(checked)
