"""Where a run trains: one device, or the processes that ``torchrun`` started."""

import datetime
import os

import lightning_fabric
from lightning_fabric.strategies import DDPStrategy

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.placement import choose_device

# The others wait while the first process prepares the images of a large cohort.
PATIENCE = datetime.timedelta(hours=12)
_PRECISIONS = {"auto": "32-true", "float32": "32-true", "bfloat16": "bf16-mixed", "float16": "16-mixed"}


def launched(hardware: Hardware, *, phases: int = 1) -> lightning_fabric.Fabric:
    """A launched Fabric for the device and precision asked for.

    Under ``torchrun`` its processes share every batch (distributed data parallel; NCCL on CUDA, gloo on the CPU), on
    one machine or several. Objectives of several ``phases`` leave parameters without a gradient in each. Raises
    UserError for a device that is not there or can't compute in that precision.
    """
    device = choose_device(hardware.device)
    if hardware.precision == "float16" and device.type != "cuda":
        raise UserError(f"float16 trains on CUDA devices only, not on {device}; use bfloat16 or float32.")
    precision = _PRECISIONS[hardware.precision]
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        devices = [device.index] if device.type == "cuda" and device.index is not None else 1
        fabric = lightning_fabric.Fabric(accelerator=device.type, devices=devices, precision=precision)
    else:
        processes, here = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
        fabric = lightning_fabric.Fabric(
            accelerator=device.type,
            devices=here,
            num_nodes=processes // here,
            strategy=DDPStrategy(find_unused_parameters=phases > 1, timeout=PATIENCE),
            precision=precision,
        )
    fabric.launch()
    return fabric
