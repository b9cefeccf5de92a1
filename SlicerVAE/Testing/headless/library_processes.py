"""Processes that work on one library at once, started from a process that has nothing open."""

import multiprocessing
import os
import random
import resource
import signal
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.access import open_library
from Testing.headless.library_samples import KEY, bare_record, identity


def forking() -> ForkServerContext:
    """Starts processes in a few milliseconds: they have imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["Testing.headless.library_processes", "SlicerVAELib.library.opening"])
    return context


def write_until_killed(address: str, first: int, told: Connection) -> None:
    """Add patients ``first``, ``first`` + 1, … and tell the number of each that is in the library."""
    with open_library(address, KEY) as library:
        number = first
        while True:
            library.add(identity(number), bare_record(number))
            told.send(number)
            number += 1


def write_all(address: str, count: int, seed: int, told: Connection) -> None:
    """Try to add all patients below ``count`` in an order of its own, and tell how many were not there yet."""
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    with open_library(address, KEY) as library:
        told.send(sum(library.add(identity(number), bare_record(number)) for number in numbers))


def read_until(address: str, count: int, cache: str, told: Connection) -> None:
    """Read again and again until there are ``count`` patients; tell what was seen half or doubled."""
    os.environ["SLICERVAE_CACHE"] = cache
    strange: list[str] = []
    seen = 0
    with open_library(address) as library:
        while seen < count:
            patients = library.list()
            names = [patient.pseudonym for patient in patients]
            strange += [f"{name} twice" for name in set(names) if names.count(name) > 1]
            strange += [f"{len(names)} after {seen}"] if len(names) < seen else []
            strange += [f"{patient} is half" for patient in patients if patient.slices != 3 or len(patient.plans) != 1]
            seen = len(names)
            if names:
                library.record(random.choice(names))  # compares its checksum
                index = library.search_index("kl")
                if len(index.matrix) != 3 * len(index.entries) or len(index.entries) < seen:
                    strange.append(f"{len(index.matrix)} rows of {len(index.entries)} series")
    told.send(strange)


def add_with_little_room(address: str, room: int, told: Connection) -> None:
    """Add a large patient where no file may grow beyond ``room`` bytes more than the library has."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open_library(address, KEY) as library:
        limit = Path(address).stat().st_size + room
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            library.add(identity(9), bare_record(9, slices=20_000))
        except UserError as error:
            told.send(str(error))
        else:
            told.send("added")
