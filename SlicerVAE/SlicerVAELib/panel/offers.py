"""What the panel's lists offer: what the engine takes, with the words that a person reads.

Slicer's parameter node keeps the members and asks each for its ``label``.
"""

import enum

from .translation import tr as _


class Device(enum.Enum):
    """What ``core.engine.Hardware.device`` takes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CPU: _("Processor (CPU)"),
            Device.CUDA: _("NVIDIA graphics card (CUDA)"),
            Device.MPS: _("Apple graphics (MPS)"),
        }[self]


class Precision(enum.Enum):
    """What ``core.engine.Hardware.precision`` takes."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            Precision.AUTO: _("Exact (32 bits)"),
            Precision.BFLOAT16: _("Faster (bfloat16)"),
            Precision.FLOAT16: _("Faster (float16)"),
        }[self]


class AnomalyMethod(enum.Enum):
    """What ``core.engine.AnomalyOptions.method`` takes."""

    AUTO = "auto"
    ABSOLUTE_RESIDUAL = "absolute-residual"
    SIGNED_RESIDUAL = "signed-residual"
    STRUCTURAL_RESIDUAL = "structural-residual"
    GRADIENT_ELBO = "gradient-elbo"
    GRADIENT_KL = "gradient-kl"
    GRADIENT_REC = "gradient-rec"
    COMBINED = "combined"
    RESTORATION = "restoration"
    RECONSTRUCTION_PROBABILITY = "reconstruction-probability"
    CODE_SURPRISE = "code-surprise"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            AnomalyMethod.AUTO: _("Automatic"),
            AnomalyMethod.ABSOLUTE_RESIDUAL: _("Absolute residual"),
            AnomalyMethod.SIGNED_RESIDUAL: _("Signed residual"),
            AnomalyMethod.STRUCTURAL_RESIDUAL: _("Structural residual (SSIM)"),
            AnomalyMethod.GRADIENT_ELBO: _("Gradient of the ELBO"),
            AnomalyMethod.GRADIENT_KL: _("Gradient of the KL divergence"),
            AnomalyMethod.GRADIENT_REC: _("Gradient of the reconstruction"),
            AnomalyMethod.COMBINED: _("Combined (KL gradient × residual)"),
            AnomalyMethod.RESTORATION: _("Restoration (slow)"),
            AnomalyMethod.RECONSTRUCTION_PROBABILITY: _("Reconstruction probability"),
            AnomalyMethod.CODE_SURPRISE: _("Code surprise"),
        }[self]


class Prior(enum.Enum):
    """What ``core.engine.SynthesizeRequest.prior`` takes."""

    AUTO = "auto"
    STANDARD = "standard"
    MIXTURE = "mixture"
    AGGREGATED_POSTERIOR = "aggregated-posterior"
    LEARNED_CODES = "learned-codes"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            Prior.AUTO: _("Best there is"),
            Prior.STANDARD: _("Standard normal"),
            Prior.MIXTURE: _("Mixture of Gaussians"),
            Prior.AGGREGATED_POSTERIOR: _("Aggregated posterior"),
            Prior.LEARNED_CODES: _("Learned codes"),
        }[self]


class RankBy(enum.Enum):
    """What ``library.neighbours.By`` takes."""

    KL = "kl"
    GEOMETRY = "geometry"
    BOTH = "both"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            RankBy.KL: _("Images (KL divergence)"),
            RankBy.GEOMETRY: _("Geometry of target and organs"),
            RankBy.BOTH: _("Images and geometry"),
        }[self]


class BatchSource(enum.Enum):
    """What a batch is made of."""

    FOLDER = "folder"
    SCENE = "scene"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            BatchSource.FOLDER: _("All volumes in a folder"),
            BatchSource.SCENE: _("All volumes in the scene"),
        }[self]
