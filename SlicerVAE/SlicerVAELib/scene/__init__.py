"""The MRML scene to volumes and back; no Qt."""
