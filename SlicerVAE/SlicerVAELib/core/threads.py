"""How torch's threads wait; to be decided before torch is imported."""

import os


def wait_politely() -> None:
    """Let threads that have nothing to do fall asleep soon, unless the person's environment says otherwise.

    OpenMP's threads spin while they wait for each other. On a processor that is shared with another busy program, as
    in a clinic's workstation, two spinning programs keep each other from working: a training step was seen to take
    eight times the processor time. A short spin keeps what spinning is good for.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
