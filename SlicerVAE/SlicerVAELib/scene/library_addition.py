"""The patient of the scene into a library, in two halves like the work in ``scene.jobs``."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..core.dose import check_is_dose, dose_on
from ..core.engine import EncodedVolume, EncodeRequest, Hardware
from ..core.errors import UserError
from ..core.manifest import Manifest, read_manifest
from ..core.volume import Volume
from ..io.dicom_headers import read_header
from ..library.access import load_site_key, open_library
from ..library.intake import dose_facts, series_identity, series_record, side_of_target, standardised, target_of
from ..library.pictures import may_show_head
from ..library.records import DoseFacts, PatientIdentity, PatientRecord, PlanFacts, SeriesFacts, Thumbnail
from ..library.thumbnails import thumbnails_of
from . import hierarchy
from .dicom_files import file_of
from .nodes import InputNode, SegmentationNode, VolumeNode
from .similar_patients import refuse_other_model, refuse_other_posteriors, request_to_encode, volume_with_structures
from .volumes import checked_image, volume_from_node


@dataclasses.dataclass(frozen=True)
class AddedPatient:
    """Under which pseudonym the patient is in the library, and sentences about what was left out."""

    pseudonym: str
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class AdditionJob:
    """See ``prepare_addition``. ``volume`` has its structures under standard names."""

    request: EncodeRequest
    input: InputNode
    volume: Volume
    manifest: Manifest
    identity: PatientIdentity
    plan: PlanFacts | None
    dose: Volume | None
    library: Path | str
    key: Path | None
    tags: tuple[str, ...]
    notices: tuple[str, ...]

    def check_library(self) -> None:
        """Raise UserError for a patient who is in the library already, and a library that can't be opened with the key
        or is of another model. It has no look at the scene, so that a thread beside the window may do it before the
        model computes."""
        with open_library(self.library, load_site_key(self.key)) as library:
            refuse_other_model(library, self.manifest)
            if library.holds(self.identity.patient_id):
                raise _is_there(self.volume)

    def publish(self, encoded: EncodedVolume) -> AddedPatient:
        """Add the patient, in one transaction; the scene stays as it is.

        Raises UserError, with the library as it was, where the input is no longer what it was, the patient is in the
        library already, or the library refuses (another model, a tag that names the patient, a lock, a full disk).
        """
        self.input.check()
        return self.write(encoded)

    def write(self, encoded: EncodedVolume) -> AddedPatient:
        """Add the patient without a look at the scene, so that a thread beside the window may do it; raises as
        ``publish`` what does not concern the input."""
        with open_library(self.library, load_site_key(self.key)) as library:
            refuse_other_posteriors(library, self.request.bundle, encoded.provenance)
            record = self._record(encoded, keeps_heads=library.description.keeps_head_pictures)
            if not library.add(self.identity, record):
                raise _is_there(self.volume)
            pseudonym = library.key.pseudonym(self.identity.patient_id)
        return AddedPatient(pseudonym, tuple(dict.fromkeys([*self.notices, *encoded.notices])))

    def _record(self, encoded: EncodedVolume, *, keeps_heads: bool) -> PatientRecord:
        pictures = self._pictures(encoded) if keeps_heads or not self.may_show_head else ()
        doses = dose_facts(self.volume, dose_on(self.dose, self.volume.geometry)) if self.dose is not None else ()
        series = series_record(self.volume, encoded, doses, thumbnails=pictures)
        plan = self._plan(series.facts, doses)
        return PatientRecord((series,), (plan,) if plan is not None else (), self.tags)

    @property
    def may_show_head(self) -> bool:
        """Whether pictures of the images could show a face."""
        return may_show_head(self.volume.source.body_part)

    def _pictures(self, encoded: EncodedVolume) -> tuple[Thumbnail, ...]:
        preprocessing = self.manifest.preprocessing
        window = preprocessing.intensity.window(self.volume.array)
        return thumbnails_of(self.volume, encoded, preprocessing.field_of_view_mm, window)

    def _plan(self, facts: SeriesFacts, doses: tuple[DoseFacts, ...]) -> PlanFacts | None:
        if self.plan is None and not doses:
            return None
        plan = self.plan or PlanFacts(0)
        side = plan.laterality or side_of_target(facts, target_of(self.volume, doses))
        return dataclasses.replace(plan, series=0, laterality=side, doses=doses)


def prepare_addition(
    inputVolume: VolumeNode | None,
    library: Path | str,
    bundle: Path,
    *,
    segmentation: SegmentationNode | None = None,
    channels: Mapping[str, VolumeNode] | None = None,
    dose: VolumeNode | None = None,
    plan: PlanFacts | None = None,
    key: Path | None = None,
    imagesFrom: Path | str | None = None,
    bodyPart: str | None = None,
    tags: Sequence[str] = (),
    hardware: Hardware | None = None,
) -> AdditionJob:
    """Read the patient from the scene and return the job whose request an engine encodes.

    Who the patient is, the subject hierarchy tells. ``channels`` are further images by the model's names. ``dose``
    in Gy is that of ``plan``, which comes without doses of its own; ``key`` is the file of the site's key (None: in
    its usual place). ``imagesFrom`` is the folder or the DICOMweb address that the images load from, and
    ``bodyPart`` what they show in DICOM's words: None takes what Slicer's DICOM database and the files' headers
    say. Pictures are kept only of body parts without a head.

    The library is not opened yet; see ``AdditionJob.check_library``. Raises UserError for an input that no model can
    take, a patient without an ID, and a ``dose`` that is none.
    """
    node = checked_image(inputVolume)
    identifier = hierarchy.patient_id(node)
    if not identifier:
        raise UserError(
            f"'{node.GetName()}' belongs to no patient with an ID in the subject hierarchy, so nobody could be known "
            "again; load it as DICOM."
        )
    manifest = read_manifest(bundle)
    file = file_of(node)
    place = str(imagesFrom or (file.parent if file is not None else ""))
    part = _body_part(file) if bodyPart is None else bodyPart
    seen = volume_with_structures(node, segmentation)
    named, notices = standardised(seen.replace(source=dataclasses.replace(seen.source, body_part=part)))
    planned = volume_from_node(checked_image(dose)) if dose is not None else None
    if planned is not None:
        check_is_dose(planned)
    return AdditionJob(
        request=request_to_encode(bundle, manifest, seen, channels, hardware),
        input=InputNode.of(node, seen),
        volume=named,
        manifest=manifest,
        identity=PatientIdentity(identifier, (series_identity(named, place),)),
        plan=plan,
        dose=planned,
        library=library,
        key=key,
        tags=tuple(tags),
        notices=tuple(notices),
    )


def _body_part(file: Path | None) -> str:
    """What the file's header says, empty where it does not."""
    headers = read_header(file) if file is not None else []
    return headers[0].body_part if headers else ""


def _is_there(volume: Volume) -> UserError:
    return UserError(f"The patient of '{volume.source.name}' is in the library already; nothing was changed.")
