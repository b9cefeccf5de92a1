"""What the model can't explain: the map, what lies above its alarm level, and how unusual each slice is."""

import dataclasses
import time
from typing import Protocol

from ...core.errors import UserError
from ...core.map_regions import MOST_REGIONS, MapRegions, Region
from ...core.positions import in_words
from ...scene import slice_views
from ...scene.anomaly_overlay import AnomalyMap
from ...scene.nodes import VolumeNode
from ...scene.provenance import ANOMALY, KIND
from ...scene.region_segments import add_segmentation
from ...scene.slice_chart import add_slice_chart, show_chart
from ..maps_run import anomaly_options, run_maps
from ..outcome import done
from ..readiness import what_a_run_lacks
from ..runs import Task
from ..section import Panel
from ..slice_layout import Layout, show_over
from ..state import Message
from ..translation import tr as _

NOT_NORMAL = _("That does not mean that the image is normal.")


@dataclasses.dataclass(frozen=True)
class RegionRow:
    """One line of the table, in words."""

    peak: str
    mean: str
    volume: str
    position_lps: str
    place: str


@dataclasses.dataclass(frozen=True)
class AnomaliesState:
    """What the section shows; ``unit`` is that of the levels, empty before there is a map."""

    hint: str
    is_idle: bool
    has_map: bool
    unit: str
    summary: str
    rows: tuple[RegionRow, ...]


class AnomaliesView(Layout, Protocol):
    """The section's widgets."""

    def draw(self, state: AnomaliesState) -> None:
        """Show the state."""
        ...


class AnomaliesPresenter:
    """Makes a map and tells what lies above the alarm level, which the person moves without another run."""

    def __init__(self, view: AnomaliesView, panel: Panel) -> None:
        self._view, self._panel = view, panel
        self._map: AnomalyMap | None = None
        self._found = MapRegions.none()
        self._looked_at: tuple[object, ...] = ()

    def refresh(self) -> None:
        """Draw the section; look for regions again where the map or a level changed."""
        self._look()
        unit = self._map.unit if self._map is not None else ""
        self._view.draw(
            AnomaliesState(
                hint=what_a_run_lacks(self._panel),
                is_idle=self._panel.is_idle,
                has_map=self._map is not None,
                unit=unit,
                summary=self._summary(),
                rows=tuple(_row(region) for region in self._found.regions),
            )
        )

    def scene_closes(self) -> None:
        """Let go of the map."""
        self._map, self._found, self._looked_at = None, MapRegions.none(), ()

    def close(self) -> None:
        """Nothing is observed."""

    def find(self) -> None:
        """Make the map of the input."""
        if self._panel.parameters is not None and not what_a_run_lacks(self._panel):
            self._panel.runs.begin(self._task())

    def jump_to(self, row: int) -> None:
        """Move the slice views to the peak of a region."""
        if self._map is not None and 0 <= row < len(self._found.regions):
            slice_views.jump_to(self._map.node.GetScene(), self._found.regions[row].peak_lps_mm)

    def show_overlay(self) -> None:
        """Show what lies above the alarm level over the input."""
        parameters = self._panel.parameters
        if self._map is not None and parameters.inputVolume is not None:
            show_over(self._view, parameters.inputVolume, self._map.node, parameters.overlayOpacity)
            self._map.show_legend()

    def segment(self) -> None:
        """Add a segmentation of the regions."""
        if self._map is None:
            return
        try:
            node = add_segmentation(self._map, self._found, self._panel.parameters.alarmLevel)
            self._panel.runs.say(Message(_("Added the segmentation '{name}'.").format(name=node.GetName())))
        except UserError as error:
            self._panel.runs.say(Message(str(error), is_error=True))

    def show_chart(self) -> None:
        """Show how unusual each slice is."""
        if self._map is not None and not show_chart(self._map.node):
            self._panel.runs.say(Message(_("There is no chart of this map; find the anomalies again.")))

    def _task(self) -> Task:
        began, parameters = time.monotonic(), self._panel.parameters
        run = yield from run_maps(self._panel, {ANOMALY: parameters.anomalyVolume}, anomaly_options(parameters))
        nodes = run.job.publish(run.result)
        add_slice_chart(nodes.anomaly, run.result)
        parameters.anomalyVolume = nodes.anomaly
        self._look()
        self.show_overlay()
        return done(nodes.written, time.monotonic() - began, run.news)

    def _look(self) -> None:
        parameters = self._panel.parameters
        node, level, smallest = parameters.anomalyVolume, parameters.alarmLevel, parameters.smallestRegion
        looked_at = (_state_of(node), level, smallest)
        if looked_at != self._looked_at:
            self._looked_at, self._map, self._found = looked_at, None, MapRegions.none()
            if node is not None and node.GetAttribute(KIND) == ANOMALY:
                self._map = AnomalyMap.of(node)
                self._found = self._map.regions(level, smallest)
                self._map.show_above(level)
                self._map.show_legend()
        if self._map is not None:
            slice_views.set_opacity_over(node.GetScene(), node, parameters.overlayOpacity)

    def _summary(self) -> str:
        if self._map is None:
            return ""
        level = f"{self._panel.parameters.alarmLevel:g} {self._map.unit}".strip()
        count = len(self._found.regions)
        if count >= MOST_REGIONS:
            sentences = [_("More than {count} regions above {level}; only the highest are listed.")]
        elif count > 1:
            sentences = [_("{count} regions above {level}.")]
        elif count == 1:
            sentences = [_("1 region above {level}.")]
        else:
            sentences = [_("No region found above {level}."), NOT_NORMAL]
        sentences = [sentence.format(count=count, level=level) for sentence in sentences]
        if (p_value := self._map.patient_p_value) is not None:
            told = _("A healthy patient looks at least as unusual with a probability of {p:.2g}.").format(p=p_value)
            sentences.append(told)
        return " ".join(sentences)


def _row(region: Region) -> RegionRow:
    left, posterior, superior = region.peak_lps_mm
    return RegionRow(
        peak=f"{region.peak:.1f}",
        mean=f"{region.mean:.1f}",
        volume=f"{region.volume_cm3:.2f}",
        position_lps=f"{left:.0f}, {posterior:.0f}, {superior:.0f}",
        place=in_words(region.peak_lps_mm),
    )


def _state_of(node: VolumeNode | None) -> tuple[object, ...]:
    image = node.GetImageData() if node is not None else None
    return () if node is None or image is None else (node.GetID(), image.GetMTime(), node.GetAttribute(KIND))
