"""Where the model computes, as the panel offers it."""

import enum


class Device(enum.Enum):
    """What ``core.engine.Hardware.device`` takes, with the words that a person reads."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"
    MPS = "mps"

    def label(self) -> str:
        """Return the entry of the list; Slicer's parameter node asks for it by this name."""
        return {
            Device.AUTO: "Automatic",
            Device.CPU: "Processor (CPU)",
            Device.CUDA: "NVIDIA graphics card (CUDA)",
            Device.MPS: "Apple graphics (MPS)",
        }[self]
