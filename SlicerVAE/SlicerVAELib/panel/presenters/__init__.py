"""What each section does, without Qt, so that it is tested without a window; see ``panel.sections``."""
