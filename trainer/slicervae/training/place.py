"""Where a run trains: one device, or the processes that ``torchrun`` started."""

import datetime
import os
from typing import Any

import lightning_fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies import DDPStrategy

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.placement import choose_device

# The others wait while the first process prepares the images of a large cohort.
PATIENCE = datetime.timedelta(hours=12)


class HalfInside(MixedPrecision):
    """Mixed precision inside the network alone.

    Fabric would round the images too, to 8 or 11 bits, and with them the error that is taken against them; in half
    precision the sum over a batch's pixels overflows.
    """

    def convert_input(self, data: Any) -> Any:
        """What it is."""
        return data


def launched(hardware: Hardware, *, phases: int = 1) -> lightning_fabric.Fabric:
    """A launched Fabric for the device and precision asked for.

    Under ``torchrun`` its processes share every batch (distributed data parallel; NCCL on CUDA, gloo on the CPU), on
    one machine or several. Objectives of several ``phases`` leave parameters without a gradient in each. Raises
    UserError for a device that is not there or can't compute in that precision.
    """
    device = choose_device(hardware.device)
    if hardware.precision == "float16" and device.type != "cuda":
        raise UserError(f"float16 trains on CUDA devices only, not on {device}; use bfloat16 or float32.")
    precision = Precision()
    if hardware.precision in ("bfloat16", "float16"):
        precision = HalfInside("bf16-mixed" if hardware.precision == "bfloat16" else "16-mixed", device.type)
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        devices = [device.index] if device.type == "cuda" and device.index is not None else 1
        fabric = lightning_fabric.Fabric(accelerator=device.type, devices=devices, plugins=precision)
    else:
        processes, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = lightning_fabric.Fabric(
            accelerator=device.type,
            devices=here,
            num_nodes=processes // here,
            strategy=DDPStrategy(find_unused_parameters=phases > 1, timeout=PATIENCE),
            plugins=precision,
        )
    fabric.launch()
    return fabric
