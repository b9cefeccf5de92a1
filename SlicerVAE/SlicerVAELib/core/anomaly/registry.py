"""Every anomaly map by its name."""

from ..errors import UserError, nearest
from .gradients import BoundGradient, Combined, DivergenceGradient, ReconstructionGradient
from .method import Method
from .probability import CodeSurprise, ReconstructionProbability
from .residuals import AbsoluteResidual, SignedResidual, StructuralResidual
from .restoration import Restoration

METHODS: dict[str, Method] = {
    "absolute-residual": AbsoluteResidual(),
    "signed-residual": SignedResidual(),
    "structural-residual": StructuralResidual(),
    "gradient-elbo": BoundGradient(),
    "gradient-kl": DivergenceGradient(),
    "gradient-rec": ReconstructionGradient(),
    "combined": Combined(),
    "restoration": Restoration(),
    "reconstruction-probability": ReconstructionProbability(),
    "code-surprise": CodeSurprise(),
}


def method_named(name: str) -> Method:
    """The method; raises UserError with the nearest name for an unknown one."""
    if name not in METHODS:
        raise UserError(f"There is no anomaly map '{name}'; {nearest(name, METHODS)}")
    return METHODS[name]
