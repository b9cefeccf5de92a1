"""Variational autoencoders on medical volumes: the library that 3D Slicer and the trainer share."""

__version__ = "0.1.0"
