"""Which map a request gets from a model: the method, and the calibration that belongs to it."""

import dataclasses

from ..calibration import UNIT, MethodCalibration, calibration_of
from ..engine import AnomalyOptions, ReconstructRequest
from ..errors import UserError
from ..latent import Latent
from ..manifest import Manifest
from ..networks import Network
from ..synthesis_parts import code_prior_of
from .method import CodePrior, Method
from .registry import method_named

AUTO = "auto"
DEFAULT = "absolute-residual"
DEFAULT_SMOOTHING_MM = 2.0


@dataclasses.dataclass(frozen=True, eq=False)
class Choice:
    """The method that was asked for, by its name, and how it is calibrated, if it is."""

    name: str
    method: Method
    calibration: MethodCalibration | None
    false_alarm_rate: float
    code_prior: CodePrior | None
    notices: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Unit of the maps."""
        return UNIT if self.calibration else self.method.unit

    @property
    def is_signed(self) -> bool:
        """Whether values below zero mean something."""
        return self.method.is_signed or self.calibration is not None

    def smoothing_mm(self, options: AnomalyOptions) -> float:
        """σ that smooths the maps in the slice plane."""
        if self.calibration:
            return self.calibration.record.smoothing_mm
        return DEFAULT_SMOOTHING_MM if options.smoothing_mm is None else options.smoothing_mm

    def parameters(self, options: AnomalyOptions) -> dict[str, str]:
        """What was done, for provenance."""
        done = {"anomaly method": self.name, "smoothing in mm": f"{self.smoothing_mm(options):g}"}
        if self.calibration:
            record = self.calibration.record
            done["calibration"] = f"{record.fitted_patients} + {len(record.patient_scores)} healthy patients"
            if record.coarse_mm > 0:
                done["coarse smoothing in mm"] = f"{record.coarse_mm:g}"
        if options.body_erosion_mm is not None:
            done["body erosion in mm"] = f"{options.body_erosion_mm:g}"
        if options.minimum_region_cm3 > 0:
            done["regions left out"] = f"beyond ±{options.region_threshold:g}, below {options.minimum_region_cm3:g} cm³"
        return done


def choose(request: ReconstructRequest, network: Network, manifest: Manifest) -> Choice:
    """The method that a request asks for; "auto" is the first calibrated one, or the absolute residual.

    Raises UserError for one that there is not, or that such a model does not have, and for a damaged calibration.
    """
    options, model, bundle = request.anomaly, manifest.title, request.bundle
    calibration = calibration_of(bundle, manifest) if options.calibrated else None
    name = options.method
    if name == AUTO:
        name = calibration.methods[0].record.method if calibration else DEFAULT
    code_prior = code_prior_of(network, bundle, manifest) if method_named(name).needs_code_prior else None
    method = need_method(name, network.latent, code_prior, model)
    if calibration is None:
        return Choice(name, method, None, 0.0, code_prior, ())
    own = calibration.of(name)
    doubt = _reason_against(own, request, model)
    notices = (doubt,) if doubt else ()
    return Choice(name, method, None if doubt else own, calibration.false_alarm_rate, code_prior, notices)


def need_method(name: str, latent: Latent, code_prior: CodePrior | None, model: str) -> Method:
    """The method ``name`` for a ``model`` with these latents. Raises UserError where there is no such map of it."""
    method = method_named(name)
    if reason := method.reason_against(latent, code_prior):
        raise UserError(f"There is no map '{name}' of {model}, which {reason}.")
    return method


def _reason_against(own: MethodCalibration | None, request: ReconstructRequest, model: str) -> str:
    """Why the calibration of a method says nothing about the map asked for, as a sentence; empty where it does."""
    smoothing = request.anomaly.smoothing_mm
    if own is None:
        return f"{model} is calibrated, but not for this map."
    if smoothing is not None and own.record.smoothing_mm != smoothing:
        made = own.record.smoothing_mm
        return f"{model} is calibrated for maps smoothed by {made:g} mm; one by {smoothing:g} mm is not calibrated."
    if request.sample_seed is not None:
        return (
            f"{model} is calibrated for reconstructions of the posterior's mean; the map of a draw is not calibrated."
        )
    return ""
