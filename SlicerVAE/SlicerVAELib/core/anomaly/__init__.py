"""Anomaly maps: how much of a slice the model can't explain, pixel by pixel and in every way that the field knows.

A map is made in the model's space, before it is resampled, so that it does not mark every edge that the model's grid
can't represent. By itself it tells where the model errs more than elsewhere; only a calibrated one
(``core.calibration``) tells how unusual that is.
"""

from .method import Evidence, Method, Model
from .postprocessing import smooth
from .registry import METHODS, method_named
from .scores import map_scores, slice_scores

__all__ = ["METHODS", "Evidence", "Method", "Model", "map_scores", "method_named", "slice_scores", "smooth"]
