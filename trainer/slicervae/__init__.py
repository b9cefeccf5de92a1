"""Train, evaluate and apply the models of SlicerVAE outside Slicer."""

import SlicerVAELib

__version__ = "0.1.0"

if SlicerVAELib.__version__ != __version__:
    raise ImportError(
        f"slicervae {__version__} and SlicerVAELib {SlicerVAELib.__version__} (in {SlicerVAELib.__path__[0]}) are of "
        "different versions; install both from the same release."
    )
