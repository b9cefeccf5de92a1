"""Sentences on labels and buttons."""

from typing import Any

ERROR_STYLE = "QLabel { color: #d9534f; }"  # legible on the light and the dark style


def write(label: Any, text: str, *, is_error: bool = False) -> None:
    """Show a sentence on a label, and no label where there is none."""
    label.setText(text)
    label.setStyleSheet(ERROR_STYLE if is_error else "")
    label.setVisible(bool(text))


def offer(button: Any, hint: str, tip: str, *, is_idle: bool = True) -> None:
    """Let a button be pressed where nothing is missing; otherwise its tooltip says what is."""
    button.setEnabled(is_idle and not hint)
    button.setToolTip(hint or tip)
