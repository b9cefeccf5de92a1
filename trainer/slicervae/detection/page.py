"""The outcome as a table for the terminal and as a self-contained page."""

from collections.abc import Sequence

from ..report import Report
from ..table import Table
from .bootstrap import Interval
from .pictures import Gallery
from .trial import Detection, Outcome

_COLUMNS = (
    "map",
    "AP (95 %)",
    "AUROC",
    "best Dice",
    "Dice",
    "found",
    "false/scan",
    "slice AP",
    "slice AUROC",
    "AP ÷ threshold",
    "AP ÷ residual",
)


def text(outcome: Outcome) -> str:
    """For a terminal."""
    return f"{_in_words(outcome)}\n\n{_table(outcome).as_text()}"


def page(title: str, data: str, outcome: Outcome, notices: Sequence[str], gallery: Gallery) -> str:
    """The report."""
    report = Report(f"Anomalies found by {title}", data)
    report.paragraph(
        "This page shows patients: keep it where patient data may be kept. Nothing found does not mean normal.",
        note=True,
    )
    for notice in notices:
        report.paragraph(notice, note=True)
    report.paragraph(_in_words(outcome))
    report.matrix(_table(outcome))
    report.paragraph(
        "Voxels within the body that the model saw, all test patients together; intervals are from a bootstrap over "
        "patients, ratios are paired. AP: average precision, which for guessing is the share of anomalous voxels. Best "
        "Dice: at the threshold that is best for these very patients; Dice, found and false: at the threshold that was "
        "best on other patients. Slices are scored by the 99th percentile of the map in them. Maps marked with ∗ use "
        "the image's intensity itself."
    )
    for caption, picture in gallery.pictures:
        report.picture(picture, caption)
    return report.html()


def _table(outcome: Outcome) -> Table:
    return Table(_COLUMNS, [_row(detection) for detection in outcome.detections])


def _row(detection: Detection) -> tuple[str, ...]:
    found = f"{detection.found}/{detection.lesions}" if detection.lesions else "–"
    return (
        detection.name + (" ∗" if detection.uses_intensity else ""),
        f"{_number(detection.average_precision)}{_between(detection.average_precision_interval)}",
        _number(detection.auroc),
        _number(detection.best_dice),
        _number(detection.dice),
        found,
        _number(detection.false_alarms, 1),
        _number(detection.slice_average_precision),
        _number(detection.slice_auroc),
        f"{_number(detection.over_intensity, 2)}{_between(detection.over_intensity_interval, 2)}",
        f"{_number(detection.over_residual, 2)}{_between(detection.over_residual_interval, 2)}",
    )


def _in_words(outcome: Outcome) -> str:
    return (
        f"{outcome.patients} patient{'s' * (outcome.patients != 1)}, {outcome.volumes} volume"
        f"{'s' * (outcome.volumes != 1)}; {outcome.anomalous_slices} of {outcome.slices} slices and "
        f"{100 * outcome.prevalence:.2g} % of the voxels show an anomaly. Slices by −ELBO: AUROC "
        f"{_number(outcome.slice_elbo_auroc)}, average precision {_number(outcome.slice_elbo_average_precision)}."
    )


def _number(value: float, digits: int = 3) -> str:
    return "–" if value != value else f"{value:.{digits}f}"


def _between(of: Interval, digits: int = 3) -> str:
    return "" if of.low != of.low else f" ({of.low:.{digits}f}–{of.high:.{digits}f})"
