"""The Qt side: one file per section of the panel, thin."""
