"""The sentences of the panel in the language of the application.

``from .translation import tr as _`` and ``_("…{name}…").format(name=…)``: the words within ``_()`` are what Slicer's
translation files hold, so they are whole sentences, with places for what changes.
"""

try:
    from slicer.i18n import tr
except ImportError:  # the core without its application, which speaks English

    def tr(text: str) -> str:
        """Return the text as it is."""
        return text


__all__ = ["tr"]
