"""The patient of the scene into the library, and new libraries."""

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...core.engine import SynthesizeRequest
from ...core.errors import UserError, listed
from ...core.latent import Latent
from ...library.access import create_library, site_key_or_new
from ...library.records import BundleIdentity, PlanFacts
from ...library.thumbnails import LEVEL_STEP_MM
from ..chosen_model import NO_PATH
from ..encoding import as_chosen
from ..library_choice import site_key_file
from ..ports import Aside
from ..readiness import further_images, what_a_run_lacks
from ..runs import Step, Task
from ..section import Panel
from ..state import Message
from ..translation import tr as _
from .similar_library import Library

if TYPE_CHECKING:
    from ...scene.library_addition import AdditionJob

NO_KEY = _("Choose the file of the site's key; it makes the pseudonym and encrypts who the patient is.")
PERHAPS = _("Cancelled while the patient was being written; the number of patients above tells whether it was done.")


class AgreementView(Protocol):
    """Where the person is asked."""

    def agrees(self, text: str) -> bool:
        """Whether the person wants that."""
        ...


class Adding:
    """Adds a patient once the person has read what will be kept, and makes libraries."""

    def __init__(self, view: AgreementView, panel: Panel, library: Library) -> None:
        self._view, self._panel, self._library = view, panel, library

    def hint(self) -> str:
        """What has to be chosen first, empty when the patient can be added."""
        if missing := self._library.hint() or what_a_run_lacks(self._panel):
            return missing
        return "" if site_key_file(self._panel.parameters.siteKeyPath) is not None else NO_KEY

    def add(self) -> None:
        """Add the patient of the input."""
        facts, runs = self._library.facts, self._panel.runs
        if facts is None:
            return
        try:
            job = self._prepared()
        except UserError as error:
            runs.say(Message(str(error), is_error=True))
            return
        if self._view.agrees(in_words(job, keeps_heads=facts.keeps_head_pictures)):
            runs.begin(self._adding(job))

    def create(self, path: Path) -> None:
        """Make a library for the chosen model in a new file, and choose it."""
        self._panel.runs.begin(self._creating(path))

    def _prepared(self) -> "AdditionJob":
        from ...scene.library_addition import prepare_addition  # pydicom, which takes a while to import

        panel, parameters = self._panel, self._panel.parameters
        job = prepare_addition(
            parameters.inputVolume,
            self._library.address,
            panel.bundle,
            segmentation=parameters.structures,
            channels=further_images(panel),
            dose=parameters.planDose,
            plan=plan_of(parameters),
            key=site_key_file(parameters.siteKeyPath),
            tags=[tag for tag in (text.strip() for text in parameters.patientTags.split(",")) if tag],
            hardware=panel.hardware,
        )
        return dataclasses.replace(job, request=as_chosen(panel, job.request))

    def _adding(self, job: "AdditionJob") -> Task:
        yield Step(Aside.of(job.check_library), end=0.0)
        encoded = yield Step(job.request, end=0.8)
        job.input.check()
        added = yield Step(Aside.of(job.write, encoded), start=0.8, cancelled=PERHAPS)
        self._library.look()
        return "\n".join([_("Added as {pseudonym}.").format(pseudonym=added.pseudonym), *added.notices])

    def _creating(self, path: Path) -> Task:
        panel = self._panel
        manifest, chosen_key = panel.manifest, panel.parameters.siteKeyPath
        # What latents a model has, only its network can tell, which lives in the model's process.
        drawn = yield Step(SynthesizeRequest(panel.bundle, 1, hardware=panel.hardware, prior="standard"))
        latent = Latent("codes", ()) if drawn.latents is None else Latent("gaussian", drawn.latents.shape[1:])
        identity = BundleIdentity.of(manifest, latent)
        key_path = yield Step(Aside.of(_create, path, chosen_key, identity))
        self._library.choose(str(path))
        return _("Made {path} for {model}, under the key {key}; back the key up, apart from the library.").format(
            path=path, model=identity.title, key=key_path
        )


def plan_of(parameters: Any) -> PlanFacts | None:
    """What the person says of the patient's plan, None where that is nothing."""
    plan = PlanFacts(
        0,
        site=parameters.planSite.strip(),
        prescription_gy=parameters.planPrescription or None,
        fractions=parameters.planFractions or None,
        technique=parameters.planTechnique.strip(),
    )
    says = plan.site or plan.prescription_gy or plan.fractions or plan.technique
    return plan if says or parameters.planDose is not None else None


def in_words(job: "AdditionJob", *, keeps_heads: bool) -> str:
    """What the library will keep of the patient, as a question."""
    names = listed(job.volume.masks)
    kept = [_("what the model sees in each slice (posteriors)")]
    if names:
        kept.append(_("volume, place and shape of {names}").format(names=names))
    if names and job.dose is not None:
        kept.append(_("the dose in each of them"))
    if job.plan is not None:
        kept.append(_("what you entered of the plan"))
    if job.tags:
        kept.append(_("the tags {tags}").format(tags=listed(job.tags)))
    shows_pictures = keeps_heads or not job.may_show_head
    if shows_pictures:
        kept.append(_("a small picture every {step:g} mm").format(step=LEVEL_STEP_MM))
    lines = [
        _("Add the patient of '{image}' to the library?").format(image=job.volume.source.name),
        _("It will keep: {kept}.").format(kept="; ".join(kept)),
        _("The patient's ID, the images' UIDs and where they load from are kept encrypted only."),
    ]
    if not shows_pictures:
        lines.append(_("It keeps no pictures, because these images may show a face."))
    return "\n\n".join([*lines, *job.notices])


def _create(path: Path, chosen_key: Path, identity: BundleIdentity) -> Path:
    key_file = chosen_key if chosen_key != NO_PATH else None
    with contextlib.ExitStack() as stack:
        key = stack.enter_context(site_key_or_new(key_file))
        stack.enter_context(create_library(path, key, identity))
        assert key.path is not None, "a key that was made or loaded has its file"
        return key.path
