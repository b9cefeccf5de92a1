"""Preparing many patients: in this process, in several, or as a Ray Data pipeline on a cluster."""

import concurrent.futures
import dataclasses
import functools
import importlib.util
import logging
import multiprocessing
import os
import pickle
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel

from .patients import Patient
from .preparation import Prepared, Settings, prepare_patient

_WAIT_S = 0.2  # between two looks at whether a person asked to stop


@dataclasses.dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a patient: ``prepared``, or a ``complaint`` that says in one sentence why not."""

    patient_id: str
    prepared: Prepared | None
    complaint: str = ""


def attempt(patient: Patient, settings: Settings, cancel: Cancel | None = None) -> Outcome:
    """Prepare a patient; what a person can mend becomes the complaint. Raises Cancelled."""
    try:
        return Outcome(patient.patient_id, prepare_patient(patient, settings, cancel=cancel))
    except UserError as error:
        return Outcome(patient.patient_id, None, str(error))


def one_after_another(patients: Sequence[Patient], settings: Settings, cancel: Cancel) -> Iterator[Outcome]:
    """In this process, in order."""
    for patient in patients:
        cancel.check()
        yield attempt(patient, settings, cancel)


def in_processes(patients: Sequence[Patient], settings: Settings, cancel: Cancel, workers: int) -> Iterator[Outcome]:
    """In ``workers`` processes, in the order in which they get ready. Raises Cancelled; processes end with it."""
    context = multiprocessing.get_context("spawn")  # a forked torch may hang
    share = max(1, (os.cpu_count() or 1) // workers)
    others = set(multiprocessing.active_children())
    with concurrent.futures.ProcessPoolExecutor(workers, context, _begin, (share,)) as pool:
        waiting = {pool.submit(attempt, patient, settings) for patient in patients}
        try:
            while waiting:
                cancel.check()
                ready, waiting = concurrent.futures.wait(
                    waiting, _WAIT_S, return_when=concurrent.futures.FIRST_COMPLETED
                )
                yield from (future.result() for future in ready)
        except BrokenProcessPool:
            raise UserError(
                "A process was ended from outside, perhaps for want of memory; give fewer --workers and go on."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()  # they write nothing, and a large patient would take a minute more
            raise


def in_ray(patients: Sequence[Patient], settings: Settings, cancel: Cancel, workers: int) -> Iterator[Outcome]:
    """As a Ray Data pipeline of ``workers`` tasks at once, on the cluster that RAY_ADDRESS names, otherwise here.

    All machines see the files under the same paths. Raises UserError without Ray, Cancelled.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError("--engine ray needs the package ray; install it with: pip install 'slicervae[ray]'")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing leaves the machine
    import ray
    import ray.data

    is_ours = not ray.is_initialized()
    if is_ours:
        here: dict[str, Any] = {} if os.environ.get("RAY_ADDRESS") else {"num_cpus": workers}
        ray.init(include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False, **here)
    try:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        rows = ray.data.from_items([{"patient": pickle.dumps(patient)} for patient in patients])
        task = functools.partial(_ray_row, settings=settings)
        pipeline = rows.repartition(len(patients)).map(task, concurrency=workers)
        for row in pipeline.iter_rows():
            cancel.check()
            yield pickle.loads(row["outcome"])
    finally:
        if is_ours:
            ray.shutdown()


def _ray_row(row: dict[str, Any], settings: Settings) -> dict[str, Any]:
    return {"outcome": pickle.dumps(attempt(pickle.loads(row["patient"]), settings))}


def _begin(threads: int) -> None:
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(threads)
