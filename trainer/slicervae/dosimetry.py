"""What a treatment gives to each structure, as a table, as data and as curves."""

import csv
import dataclasses
import io
from collections.abc import Mapping
from typing import Any

from SlicerVAELib.core.dvh import Curve, DoseStatistics, Dvh, dvhs
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.io.rtdose import Dose
from SlicerVAELib.io.rtplan import Plan
from SlicerVAELib.io.treatment import Treatment

from .table import Table

_BIN_GY = 0.1
_COLUMNS = ("cm³", "covered", "D98", "D95", "D50", "D2", "D0.03cc", "mean", "max")


@dataclasses.dataclass(frozen=True, eq=False)
class Dosimetry:
    """``histograms`` by structure, those without a voxel that the dose covers left out; ``volumes_cm3`` and
    ``standard_names`` of all."""

    plan: Plan | None
    dose: Dose
    histograms: Mapping[str, Dvh]
    volumes_cm3: Mapping[str, float]
    standard_names: Mapping[str, str | None]
    notices: tuple[str, ...]

    def statistics(self) -> dict[str, DoseStatistics]:
        """The usual figures of each structure that has a dose."""
        return {name: histogram.statistics() for name, histogram in self.histograms.items()}

    def curves(self) -> dict[str, Curve]:
        """The cumulative histogram of each structure that has a dose, binned."""
        return {name: histogram.curve(_BIN_GY) for name, histogram in self.histograms.items()}

    def facts(self) -> dict[str, Any]:
        """For programs."""
        statistics = self.statistics()
        return {
            "plan": _facts_of(self.plan) if self.plan is not None else None,
            "dose": {
                "file": self.dose.volume.source.path,
                "summation": self.dose.summation,
                "type": self.dose.dose_type,
            },
            "structures": {
                name: {
                    "standard_name": self.standard_names[name],
                    "volume_cm3": volume,
                    "dose": statistics.get(name),
                }
                for name, volume in self.volumes_cm3.items()
            },
            "notices": list(self.notices),
        }

    def curves_as_csv(self) -> str:
        """One row per structure and dose: Gy, cm³ and the share that receives at least that."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["structure", "dose_gy", "volume_cm3", "volume_percent"])
        for name, curve in self.curves().items():
            whole = float(curve.volume_cm3[0])
            for dose, volume in zip(curve.dose_gy, curve.volume_cm3, strict=True):
                writer.writerow([name, f"{dose:.3f}", f"{volume:.4f}", f"{100 * volume / whole:.3f}"])
        return text.getvalue()

    def table(self) -> str:
        """For a terminal: the plan in a line, then a structure a line, doses in Gy."""
        rows = []
        statistics = self.statistics()
        for name, volume in self.volumes_cm3.items():
            found = statistics.get(name)
            rows.append((_called(name, self.standard_names[name]), f"{volume:.1f}", *_figures(found)))
        table = Table(("structure", *_COLUMNS), rows)
        return "\n".join([*_plan_in_words(self.plan, self.dose), "", table.as_text() + "Doses in Gy.", ""])


def dosimetry_of(treatment: Treatment) -> Dosimetry:
    """The histograms of all structures. Raises UserError where the treatment has no dose."""
    doses = treatment.dose_on_volume()
    assert treatment.dose is not None
    volume = treatment.volume
    voxel = volume.geometry.voxel_volume_cm3
    names = StructureNames()
    histograms = dvhs(doses, volume.masks, voxel)
    bare = [name for name in volume.masks if name not in histograms]
    notices = [*volume.source.notes, *treatment.notices, *names.doubts(volume.masks)]
    if bare:
        notices.append(f"The dose grid covers nothing of {', '.join(bare)}.")
    return Dosimetry(
        plan=treatment.plan,
        dose=treatment.dose,
        histograms=histograms,
        volumes_cm3={name: float(mask.sum()) * voxel for name, mask in volume.masks.items()},
        standard_names=names.matched(volume.masks),
        notices=tuple(notices),
    )


def _facts_of(plan: Plan) -> dict[str, Any]:
    return {
        "file": str(plan.path),
        "label": plan.label,
        "approval": plan.approval,
        "intent": plan.intent,
        "date": plan.date.isoformat() if plan.date else None,
        "technique": plan.technique,
        "fractions": plan.fractions,
        "prescriptions": [dataclasses.asdict(item) for item in plan.prescriptions],
    }


def _plan_in_words(plan: Plan | None, dose: Dose) -> list[str]:
    lines = []
    if plan is None:
        lines.append("No plan.")
    else:
        fractions = f"{plan.fractions} fractions" if plan.fractions else "fractions unknown"
        doses = [f"{item.dose_gy:g} Gy to {item.target or 'the target'}" for item in plan.prescriptions if item.dose_gy]
        words = [plan.approval.lower() or "approval unknown", *doses, fractions, plan.technique or "technique unknown"]
        lines.append(f"Plan '{plan.label}': {', '.join(words)}.")
    return [*lines, f"Dose: {dose.row.strip()}."]


def _called(name: str, standard: str | None) -> str:
    return name if standard in (None, name) else f"{name} ({standard})"


def _figures(statistics: DoseStatistics | None) -> tuple[str, ...]:
    if statistics is None:
        return ("0 %", *("–" for _ in _COLUMNS[2:]))
    doses = (
        statistics.d98_gy,
        statistics.d95_gy,
        statistics.d50_gy,
        statistics.d2_gy,
        statistics.d0_03cc_gy,
        statistics.mean_gy,
        statistics.max_gy,
    )
    return (f"{100 * statistics.covered_share:.0f} %", *("–" if dose is None else f"{dose:.2f}" for dose in doses))
