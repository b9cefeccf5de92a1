"""What the panel's lists offer: what the engine takes, with the words that a person reads.

Slicer's parameter node keeps the members and asks each for its ``label``.
"""

import enum


class Device(enum.Enum):
    """What ``core.engine.Hardware.device`` takes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            Device.AUTO: "Automatic",
            Device.CPU: "Processor (CPU)",
            Device.CUDA: "NVIDIA graphics card (CUDA)",
            Device.MPS: "Apple graphics (MPS)",
        }[self]


class Precision(enum.Enum):
    """What ``core.engine.Hardware.precision`` takes."""

    AUTO = "auto"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"

    def label(self) -> str:
        """Return the entry of the list."""
        return {
            Precision.AUTO: "Exact (32 bits)",
            Precision.BFLOAT16: "Faster (bfloat16)",
            Precision.FLOAT16: "Faster (float16)",
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
            AnomalyMethod.AUTO: "Automatic",
            AnomalyMethod.ABSOLUTE_RESIDUAL: "Absolute residual",
            AnomalyMethod.SIGNED_RESIDUAL: "Signed residual",
            AnomalyMethod.STRUCTURAL_RESIDUAL: "Structural residual (SSIM)",
            AnomalyMethod.GRADIENT_ELBO: "Gradient of the ELBO",
            AnomalyMethod.GRADIENT_KL: "Gradient of the KL divergence",
            AnomalyMethod.GRADIENT_REC: "Gradient of the reconstruction",
            AnomalyMethod.COMBINED: "Combined (KL gradient × residual)",
            AnomalyMethod.RESTORATION: "Restoration (slow)",
            AnomalyMethod.RECONSTRUCTION_PROBABILITY: "Reconstruction probability",
            AnomalyMethod.CODE_SURPRISE: "Code surprise",
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
            Prior.AUTO: "Best there is",
            Prior.STANDARD: "Standard normal",
            Prior.MIXTURE: "Mixture of Gaussians",
            Prior.AGGREGATED_POSTERIOR: "Aggregated posterior",
            Prior.LEARNED_CODES: "Learned codes",
        }[self]


class BatchSource(enum.Enum):
    """What a batch is made of."""

    FOLDER = "folder"
    SCENE = "scene"

    def label(self) -> str:
        """Return the entry of the list."""
        return {BatchSource.FOLDER: "All volumes in a folder", BatchSource.SCENE: "All volumes in the scene"}[self]
