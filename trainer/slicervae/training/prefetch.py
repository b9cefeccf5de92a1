"""The next batch is read while the device computes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from ..data.batch import Batch, ImageSource


def prefetched(images: ImageSource, wanted: Sequence[list[torch.Tensor]]) -> Iterator[list[Batch]]:
    """The batches of some lists of numbers, in order, each read by a thread while the one before is used."""

    def read(parts: list[torch.Tensor]) -> list[Batch]:
        return [images.batch(indices) for indices in parts]

    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        ahead = pool.submit(read, wanted[0]) if wanted else None
        for following in [*wanted[1:], None]:
            if ahead is None:
                return
            batches = ahead.result()
            ahead = None if following is None else pool.submit(read, following)
            yield batches
