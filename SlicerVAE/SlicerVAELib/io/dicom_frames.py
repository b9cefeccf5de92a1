"""The functional groups of enhanced multi-frame objects: what one frame says, or all frames share."""

import dataclasses
from typing import Any

import pydicom

FRAME_TAGS = ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"]


@dataclasses.dataclass(frozen=True)
class Groups:
    """The functional groups that hold for one frame."""

    own: pydicom.Dataset
    shared: pydicom.Dataset

    def item(self, name: str) -> pydicom.Dataset:
        """The item of the group ``name``, the frame's own before the shared one; an empty one where neither has it."""
        for groups in (self.own, self.shared):
            sequence: Any = groups.get(name)
            if sequence:
                return sequence[0]
        return pydicom.Dataset()


def functional_groups(dataset: pydicom.Dataset) -> list[Groups]:
    """The functional groups of each frame, in the order of the frames."""
    shared: Any = dataset.get("SharedFunctionalGroupsSequence") or [pydicom.Dataset()]
    return [Groups(own, shared[0]) for own in dataset["PerFrameFunctionalGroupsSequence"].value]
