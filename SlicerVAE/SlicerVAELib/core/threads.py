"""How many threads compute, and how torch's wait; the latter to be decided before torch is imported."""

import os


def wait_politely() -> None:
    """Let threads that have nothing to do fall asleep soon, unless the person's environment says otherwise.

    OpenMP's threads spin while they wait for each other. On a processor that is shared with another busy program, as
    in a clinic's workstation, two spinning programs keep each other from working: a training step was seen to take
    eight times the processor time. A short spin keeps what spinning is good for.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def threads_wanted() -> int:
    """As many threads as OpenMP would take: what ``OMP_NUM_THREADS`` says, otherwise one for each processor."""
    told = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(told) if told.isdecimal() and int(told) > 0 else os.cpu_count() or 1
