"""Where a network computes: device, precision and batch, and what happens when memory runs out."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import torch

from .engine import Hardware
from .errors import UserError
from .free_memory import free_memory
from .networks import Network
from .progress import Cancel, Meter

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# Small batches keep a CPU's caches and Cancel's second; a GPU wants enough work at once.
CPU_BATCH_PIXELS = 4 * 256 * 256
GPU_BATCH_PIXELS = 64 * 256 * 256


def choose_device(wanted: str) -> torch.device:
    """The device of a name that ``Hardware.device`` takes. Raises UserError when it is not there."""
    names = available_devices()
    if wanted == "auto":
        return torch.device(next((name for name in names if name != "cpu"), "cpu"))
    if wanted not in names and f"{wanted}:0" not in names:
        raise UserError(f"There is no device '{wanted}' here; choose one of {', '.join(names)}, or auto.")
    return torch.device(wanted)


def available_devices() -> tuple[str, ...]:
    """Names of the devices that torch can use here, "cpu" last."""
    names = [f"cuda:{n}" for n in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    if torch.backends.mps.is_available():
        names.append("mps")
    return (*names, "cpu")


def free_memory_of(name: str) -> int:
    """Free memory of a device in bytes; 0 where it can't be told."""
    if name.startswith("cuda"):
        return torch.cuda.mem_get_info(name)[0]
    if name == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return free_memory()


@dataclasses.dataclass
class Placement:
    """A network on a device, which gives way when memory runs out: first a smaller batch, then the CPU."""

    network: Network
    device: torch.device
    precision: str
    batch_size: int
    notices: list[str] = dataclasses.field(default_factory=list)

    @classmethod
    def of(cls, network: Network, hardware: Hardware) -> "Placement":
        """Place a network as asked for, or on the CPU, which is told in ``notices``, where it has no room there."""
        device = choose_device(hardware.device)
        pixels = CPU_BATCH_PIXELS if device.type == "cpu" else GPU_BATCH_PIXELS
        batch_size = hardware.batch_size or max(1, pixels // network.image_size**network.dimensions)
        precision = "float32" if hardware.precision == "auto" else hardware.precision
        placement = cls(network, device, precision, batch_size)
        try:
            network.to(device)
        except RuntimeError as error:
            if device.type == "cpu" or not is_out_of_memory(error):
                raise
            placement._continue_on_cpu(f"Memory of {device} has no room for the model; continued on the CPU.")
        return placement

    @property
    def _noun(self) -> str:
        return "cube" if self.network.dimensions == 3 else "slice"

    @property
    def description(self) -> str:
        """Device and precision, for provenance."""
        return f"{self.device} {self.precision}"

    def run(
        self,
        compute: Callable[..., tuple[torch.Tensor, ...]],
        *inputs: torch.Tensor,
        meter: Meter,
        cancel: Cancel,
    ) -> tuple[torch.Tensor, ...]:
        """Apply ``compute(network, *batch)`` to batches of the inputs, each (N, …), N ≥ 1; outputs whole, on the CPU.

        When memory runs out the batch is halved, then the CPU takes over; each is told in ``notices``. Raises
        Cancelled between batches, UserError when not even one image fits on the CPU.
        """
        count, done = len(inputs[0]), 0
        outputs: tuple[torch.Tensor, ...] = ()
        while done < count:
            cancel.check()
            batch = [tensor[done : done + self.batch_size] for tensor in inputs]
            results = self._attempt(compute, batch)
            if results is None:
                self._give_way()
                continue
            if not outputs:
                outputs = tuple(torch.empty((count, *r.shape[1:])) for r in results)
            for output, result in zip(outputs, results, strict=True):
                output[done : done + len(batch[0])] = result
            done += len(batch[0])
            meter.advance(len(batch[0]))
        return outputs

    def _attempt(
        self, compute: Callable[..., tuple[torch.Tensor, ...]], batch: list[torch.Tensor]
    ) -> tuple[torch.Tensor, ...] | None:
        """The outputs of one batch, or None when memory ran out."""
        try:
            with torch.inference_mode(), self._autocast():
                results = compute(self.network, *(tensor.to(self.device) for tensor in batch))
                return tuple(result.float().cpu() for result in results)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return None
            raise

    @contextlib.contextmanager
    def _autocast(self) -> Iterator[None]:
        if self.precision == "float32":
            yield
            return
        with torch.autocast(self.device.type, dtype=PRECISIONS[self.precision]):
            yield

    def _give_way(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        if self.batch_size > 1:
            self.batch_size //= 2
            images = f"one {self._noun}" if self.batch_size == 1 else f"{self.batch_size} {self._noun}s"
            self._notice(f"Memory ran out on {self.device}; continued with {images} at a time.")
        elif self.device.type != "cpu":
            self._continue_on_cpu(f"Memory of {self.device} ran out for a single {self._noun}; continued on the CPU.")
        else:
            raise UserError(f"Memory ran out even for a single {self._noun}; close other programs and try again.")

    def _continue_on_cpu(self, notice: str) -> None:
        self._notice(notice)
        self.network.to("cpu")
        self.device, self.precision = torch.device("cpu"), "float32"
        self.batch_size = max(1, CPU_BATCH_PIXELS // self.network.image_size**self.network.dimensions)

    def _notice(self, sentence: str) -> None:
        # Each halving replaces the one before: the person needs the outcome only.
        self.notices[:] = [n for n in self.notices if not n.startswith("Memory ran out")] + [sentence]


# oneDNN, which computes convolutions on CPUs, says no more than that it could not create something.
_OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "alloc_failed",
    "bad_alloc",
    "could not create a primitive",
    "could not create a memory object",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or numpy says that memory ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in words for sign in _OUT_OF_MEMORY)
