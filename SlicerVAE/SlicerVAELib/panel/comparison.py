"""The patients of a library who were found last, for everything that is done with them."""

import dataclasses
from typing import Any

from ..core.engine import EncodedVolume
from ..scene.similar_patients import RankedPatients, RankingJob
from .patient_search import FoundPatients
from .similar_rows import PatientRow, patient_row


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The query, its posteriors, and the ranked patients in words."""

    job: RankingJob
    encoded: EncodedVolume
    found: FoundPatients
    ranking: RankedPatients
    rows: tuple[PatientRow, ...]

    @classmethod
    def of(cls, job: RankingJob, encoded: EncodedVolume, found: FoundPatients) -> "Comparison":
        """Write the ranking into the scene. Raises UserError, with the scene as it was, as ``RankingJob.write``."""
        scale, count = found.neighbours.scale, len(encoded.mean)
        pairs = zip(found.neighbours.nearest, found.levels, strict=True)
        rows = tuple(patient_row(one, level, scale, count) for one, level in pairs)
        return cls(job, encoded, found, job.write(encoded, found.neighbours), rows)

    def is_of(self, inputVolume: Any, address: str) -> bool:
        """Whether it is that of this input, with this library, and still in the scene."""
        table, library = self.ranking.table, self.job.library
        return inputVolume is self.job.input.node and library == address and table.GetScene() is self.job.input.scene
