"""The person's choices, kept in the scene and restored with it."""

from pathlib import Path
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .offers import AnomalyMethod, BatchSource, Device, Precision, Prior, RankBy


@parameterNodeWrapper
class SlicerVAEParameterNode:
    """The names are those of the SlicerParameterName properties in the .ui files; paths are bound by PathConnector.

    An output of None asks for a new volume. ``structureChoices`` holds the segment that the person chose for each
    of the model's structures, by names, and ``channelChoices`` the volume for each of its further images;
    ``confirmedStructures`` and ``overriddenWarnings`` are the very words that the person agreed to, so that others
    need another yes. Slices are counted from 1 as a person counts them; ``lastSlice`` 0 is the last one there is.
    Levels are in the map's own unit. Of a library's address no password is kept; a filter that is empty or 0 lets
    everybody through, and of the patient's plan "" and 0 are not known. Doses are in Gy.
    """

    modelPath: Path
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    overriddenWarnings: str = ""

    inputVolume: vtkMRMLScalarVolumeNode
    structures: vtkMRMLSegmentationNode
    structureChoices: dict[str, str]
    confirmedStructures: str = ""
    channelChoices: dict[str, str]
    firstSlice: Annotated[int, WithinRange(1, 100_000)] = 1
    lastSlice: Annotated[int, WithinRange(0, 100_000)] = 0
    currentSliceOnly: bool = False

    reconstructionVolume: vtkMRMLScalarVolumeNode
    residualVolume: vtkMRMLScalarVolumeNode
    blend: Annotated[float, WithinRange(0, 1)] = 0.5

    anomalyVolume: vtkMRMLScalarVolumeNode
    anomalyMethod: AnomalyMethod = AnomalyMethod.AUTO
    calibrated: bool = True
    bodyOnly: bool = True
    alarmLevel: Annotated[float, WithinRange(0, 50)] = 3.0
    smallestRegion: Annotated[float, WithinRange(0, 1000)] = 0.1
    overlayOpacity: Annotated[float, WithinRange(0, 1)] = 0.6

    sampleCount: Annotated[int, WithinRange(1, 1000)] = 16
    sampleSeed: Annotated[int, WithinRange(0, 2**31 - 1)] = 0
    samplePrior: Prior = Prior.AUTO
    sampleTemperature: Annotated[float, WithinRange(0, 10)] = 1.0
    otherVolume: vtkMRMLScalarVolumeNode

    libraryAddress: str = ""
    siteKeyPath: Path
    filterSite: str = ""
    filterLaterality: str = ""
    filterTechnique: str = ""
    filterLowestDose: Annotated[float, WithinRange(0, 200)] = 0.0
    filterHighestDose: Annotated[float, WithinRange(0, 200)] = 0.0
    filterStructures: list[str]
    rankBy: RankBy = RankBy.KL
    neighbourCount: Annotated[int, WithinRange(1, 100)] = 10
    planDose: vtkMRMLScalarVolumeNode
    planFractions: Annotated[int, WithinRange(0, 200)] = 0
    planPrescription: Annotated[float, WithinRange(0, 200)] = 0.0
    planSite: str = ""
    planTechnique: str = ""
    plottedStructure: str = ""
    equivalentDose: bool = False
    alphaBeta: Annotated[float, WithinRange(0.1, 50)] = 3.0
    patientTags: str = ""

    batchSource: BatchSource = BatchSource.FOLDER
    batchFolder: Path
    batchOutput: Path
    batchWithWarnings: bool = False
