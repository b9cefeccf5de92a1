"""What a library holds, as far as patients are chosen by it."""

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

import sqlalchemy as sa

from .schema import patients, plans, structures

if TYPE_CHECKING:
    from .store import Library


@dataclasses.dataclass(frozen=True)
class Contents:
    """How many patients there are, and what occurs among their plans and structures, in alphabetical order.

    ``prescription_gy`` are the lowest and the highest prescribed dose, None where none is known.
    """

    patients: int
    sites: tuple[str, ...]
    lateralities: tuple[str, ...]
    techniques: tuple[str, ...]
    structures: tuple[str, ...]
    prescription_gy: tuple[float, float] | None


def contents_of(library: "Library") -> Contents:
    """Count and list; texts that differ in letters' case only, by which ``selection`` does not choose, are one."""
    with library.database.reading() as connection:

        def distinct(column: sa.Column[str]) -> tuple[str, ...]:
            return _folded(connection.execute(sa.select(column).distinct()).scalars())

        dose = plans.c.prescription_gy
        lowest, highest = connection.execute(sa.select(sa.func.min(dose), sa.func.max(dose))).one()
        return Contents(
            patients=connection.execute(sa.select(sa.func.count()).select_from(patients)).scalar_one(),
            sites=distinct(plans.c.site),
            lateralities=distinct(plans.c.laterality),
            techniques=distinct(plans.c.technique),
            structures=tuple(sorted(connection.execute(sa.select(structures.c.name).distinct()).scalars())),
            prescription_gy=None if lowest is None else (lowest, highest),
        )


def _folded(texts: Iterable[str]) -> tuple[str, ...]:
    by_case = {text.casefold(): text for text in sorted(texts, reverse=True) if text}
    return tuple(by_case[key] for key in sorted(by_case))
