"""A patient as planned: image, structures, plan and dose that belong together, among the files of a folder."""

import dataclasses
from pathlib import Path

import numpy as np

from ..core.dose import dose_on
from ..core.errors import UserError, listed
from ..core.volume import Volume
from .read import read_volume
from .rt_object import read_rt_object, reading, rt_files_in, text
from .rtdose import Dose, choose_dose, read_doses
from .rtplan import Plan, choose_plan, read_plan, read_plans
from .structures import DrawnElsewhereError, read_structures


@dataclasses.dataclass(frozen=True, eq=False)
class Treatment:
    """``volume`` has the structures as its masks; ``plan`` and ``dose`` are None where the folder has none. ``notices``
    are sentences about what was passed over."""

    volume: Volume
    structure_set: Path | None
    plan: Plan | None
    dose: Dose | None
    notices: tuple[str, ...] = ()

    def dose_on_volume(self) -> np.ndarray:
        """The dose at the volume's voxels, gray, float32 (K, J, I), NaN where the dose grid does not reach. Raises
        UserError where there is no dose."""
        if self.dose is None:
            raise UserError(f"There is no dose of {_called(self.volume)}; give the folder that has its RTDOSE file.")
        return dose_on(self.dose.volume, self.volume.geometry)


def read_treatment(
    folder: Path,
    *,
    series: str | None = None,
    structure_set: Path | None = None,
    plan: Path | None = None,
    dose: Path | None = None,
) -> Treatment:
    """The image in ``folder`` (``series`` as for ``read_volume``) with what was planned on it.

    The plan is the approved one, structures and dose are those that it refers to; without a plan, the only ones of the
    image. What is named is taken instead. Raises UserError, with the list where there is one, when several may be
    meant, and for a dose in another frame of reference.
    """
    volume = read_volume(folder, series=series)
    planned = read_plan(plan) if plan is not None else _plan(folder, volume)
    masks, chosen, notices = _structures(folder, volume, planned, structure_set)
    given = _named_dose(dose, volume) if dose is not None else _dose(folder, volume, planned)
    if planned is not None and given is not None and given.plan_uid and given.plan_uid != planned.sop_uid:
        raise UserError(
            f"The dose {given.volume.source.path} is not of plan '{planned.label}'; give the dose and the plan that "
            "belong together."
        )
    return Treatment(volume.replace(masks=masks), chosen, planned, given, tuple(notices))


def _plan(folder: Path, volume: Volume) -> Plan | None:
    paths = rt_files_in(folder, "RTPLAN")
    frame = volume.source.frame_of_reference_uid
    plans = [plan for plan in read_plans(paths) if frame in ("", plan.frame_of_reference_uid)] if paths else []
    return choose_plan(plans) if plans else None


def _structures(
    folder: Path, volume: Volume, plan: Plan | None, named: Path | None
) -> tuple[dict[str, np.ndarray], Path | None, list[str]]:
    """The masks, where they are from, and what there is to say."""
    if named is not None:
        return read_structures(named, volume), named, []
    paths = rt_files_in(folder, "RTSTRUCT")
    if plan is not None and plan.structure_set_uid:
        of_plan = [path for path in paths if _sop_uid(path) == plan.structure_set_uid]
        if of_plan:
            return read_structures(of_plan[0], volume), of_plan[0], []
    drawn, notices = {}, []
    for path in paths:
        try:
            drawn[path] = read_structures(path, volume)
        except DrawnElsewhereError as error:
            notices.append(str(error))
    if len(drawn) > 1:
        raise UserError(
            f"{listed(map(str, drawn))} were all drawn on {_called(volume)}; choose the structure set to use by its "
            "file."
        )
    if not drawn:
        return {}, None, notices
    if plan is not None and plan.structure_set_uid:
        notices.append(f"The structure set that plan '{plan.label}' refers to is not there; another one was taken.")
    chosen, masks = next(iter(drawn.items()))
    return masks, chosen, notices


def _dose(folder: Path, volume: Volume, plan: Plan | None) -> Dose | None:
    paths = rt_files_in(folder, "RTDOSE")
    if not paths:
        return None
    doses = read_doses(folder, volume.source.frame_of_reference_uid or None)
    if plan is not None:
        doses = [dose for dose in doses if dose.plan_uid in ("", plan.sop_uid)]
    return choose_dose(doses) if doses else None


def _named_dose(path: Path, volume: Volume) -> Dose:
    (dose,) = read_doses([path], volume.source.frame_of_reference_uid or None)
    return dose


def _sop_uid(path: Path) -> str:
    with reading(path, "its structures"):
        return text(read_rt_object(path, "RTSTRUCT", ["SOPInstanceUID"], "an RT structure set"), "SOPInstanceUID")


def _called(volume: Volume) -> str:
    return volume.source.path or volume.source.name or "the volume"
