"""Volumes, networks, maps and the engine: numpy and torch, no file formats, no scene, no window."""
