"""Whom a library finds most similar: the plain comparison of everybody is the oracle."""

import dataclasses

import numpy as np
import pytest

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.patient_similarity import PatientMatch, compare
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.planning_similarity import RADII_MM, OrganGeometry, PlanGeometry, rank_sum
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.similarity import Posteriors
from SlicerVAELib.library.distance_scale import MOST_PAIRS
from SlicerVAELib.library.neighbours import Query, find_neighbours
from SlicerVAELib.library.records import PatientRecord, PosteriorStack, StructureFacts
from SlicerVAELib.library.selection import Selection
from SlicerVAELib.library.structure_geometry import StructureGeometry
from Testing.headless.library_samples import identity, new_library, record, stack

PATIENTS = 12
TWICE = 5  # this patient has two series


def slices_of(own: PosteriorStack) -> SliceStack:
    return SliceStack(Posteriors(own.mean, own.log_variance), own.positions_mm, own.origin)


def organ(distance_mm: float) -> OrganGeometry:
    return OrganGeometry("Heart", 600.0, distance_mm, tuple(np.linspace(0, 1, len(RADII_MM)).tolist()))


def planned(number: int, series: int) -> PatientRecord:
    """The sample of that number, its heart 10 mm further from the target with each number down."""
    sample = record(number, series=series)
    size = (10.0, 10.0, 10.0)
    heart = StructureFacts(
        "Heart", 600.0, (0.0, 0.0, 0.0), StructureGeometry(size, "PTV", organ(10.0 * (PATIENTS - number))).to_bytes()
    )
    target = StructureFacts("PTV", 80.0, (5.0, 0.0, 0.0), StructureGeometry(size, "PTV").to_bytes())
    kept = (
        dataclasses.replace(each, facts=dataclasses.replace(each.facts, structures=(heart, target)))
        for each in sample.series
    )
    return PatientRecord(tuple(kept), sample.plans, sample.tags)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, new_library(tmp_path_factory.mktemp("library") / "a.sqlite") as made:
        patch.setenv("SLICERVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        for number in range(PATIENTS):
            series = 2 if number == TWICE else 1
            assert made.add(identity(number, series), planned(number, series))
        yield made


@pytest.fixture(scope="module")
def query() -> Query:
    """Somebody like patient 3, with the geometry of patient 10."""
    own = stack(3)
    moved = PosteriorStack(own.mean + 0.1, own.log_variance, own.positions_mm, own.origin, own.slice_positions_mm)
    return Query(slices_of(moved), moved.slice_positions_mm, PlanGeometry("PTV", 80.0, (organ(20.0),)))


@pytest.fixture(scope="module")
def plain(library, query) -> dict[str, float]:
    """The distance of each patient's nearest series by the plain formula."""
    found = {}
    for name in library.pseudonyms():
        matches = [compare(query.stack, slices_of(each.posteriors)) for each in library.record(name).series]
        found[name] = min(match.distance for match in matches if isinstance(match, PatientMatch))
    return found


def test_by_divergence(library, query, plain):
    found = find_neighbours(library, query, 6)
    assert [one.pseudonym for one in found.nearest] == sorted(plain, key=plain.__getitem__)[:6]
    assert [one.match.distance for one in found.nearest] == pytest.approx(sorted(plain.values())[:6], rel=1e-9)
    assert found.nearest[0].pseudonym == library.pseudonyms()[3]


def test_a_patient_with_several_series_counts_once_with_the_nearest(library, plain):
    own = library.record(library.pseudonyms()[TWICE]).series[1].posteriors
    found = find_neighbours(library, Query(slices_of(own), own.slice_positions_mm), PATIENTS)
    assert len(found.nearest) == len({one.pseudonym for one in found.nearest}) == PATIENTS == len(plain)
    assert (found.nearest[0].pseudonym, found.nearest[0].series) == (library.pseudonyms()[TWICE], 1)


def test_matched_slices_are_told_by_their_places(library, query):
    (nearest,) = find_neighbours(library, query, 1).nearest
    kept = library.record(nearest.pseudonym).series[0].posteriors.slice_positions_mm
    pairs = nearest.match.pairs
    assert np.array_equal(nearest.levels_mm, kept[[pair.candidate for pair in pairs]])
    assert np.array_equal(nearest.query_levels_mm, query.slice_positions_mm[[pair.query for pair in pairs]])


def test_by_geometry(library, query):
    found = find_neighbours(library, query, 3, by="geometry")
    names = library.pseudonyms()
    assert found.nearest[0].pseudonym == names[10]
    assert {one.pseudonym for one in found.nearest[1:]} == {names[9], names[11]}
    assert [one.geometry_mm for one in found.nearest] == pytest.approx([0.0, 10.0, 10.0], abs=1e-3)


def test_by_both(library, query, plain):
    found = find_neighbours(library, query, PATIENTS, by="both")
    names = list(plain)
    geometry = np.array([abs(10.0 * (PATIENTS - number) - 20.0) for number in range(PATIENTS)])
    by_divergence = sorted(range(PATIENTS), key=lambda number: plain[names[number]])
    order = rank_sum(np.array([plain[names[n]] for n in by_divergence]), geometry[by_divergence])
    assert [one.pseudonym for one in found.nearest] == [names[by_divergence[n]] for n in order]


def test_a_coarse_pass_leaves_few_to_be_compared_and_tells(library, query, plain):
    found = find_neighbours(library, query, PATIENTS, first=5)
    names = [one.pseudonym for one in found.nearest]
    assert names[0] == min(plain, key=plain.__getitem__)
    assert names == sorted(names, key=plain.__getitem__) and 4 <= len(names) <= 5
    assert found.passed_over == PATIENTS - len(names)
    assert any("were passed over" in notice for notice in found.notices)
    everybody = find_neighbours(library, query, PATIENTS, first=10 * PATIENTS)
    assert everybody.passed_over == 0 and len(everybody.nearest) == PATIENTS
    assert find_neighbours(library, query, 3, by="geometry", first=1).passed_over == 0


def test_geometry_that_is_not_known(library, query):
    bare = dataclasses.replace(query, geometry=None)
    assert find_neighbours(library, bare, 1).nearest[0].geometry_mm is None
    with pytest.raises(UserError, match="needs a target and an organ"):
        find_neighbours(library, bare, by="geometry")
    other = PlanGeometry("PTV", 80.0, (dataclasses.replace(organ(1.0), name="Liver"),))
    found = find_neighbours(library, dataclasses.replace(query, geometry=other), by="both")
    assert found.nearest == () and found.notices[0] == "Nobody of the library could be compared."


def test_filters_and_who_is_left_out(library, query):
    names = library.pseudonyms()
    known = dataclasses.replace(query, patient_id=identity(3).patient_id)
    odd = find_neighbours(library, known, PATIENTS, filters=Selection(site="lung"))
    assert {one.pseudonym for one in odd.nearest} == set(names[1::2]) - {names[3]}
    assert odd.of_query == {odd.own_pseudonym} == {names[3]}
    assert any("Only 5 patients" in notice for notice in odd.notices)
    assert any(f"this very patient, {names[3]}, who is left out" in notice for notice in odd.notices)
    stranger = find_neighbours(library, dataclasses.replace(query, patient_id="HOSPITAL-000099"), PATIENTS)
    assert len(stranger.nearest) == PATIENTS and not stranger.of_query
    with pytest.raises(UserError, match="loosen the filters"):
        find_neighbours(library, query, filters=Selection(site="liver"))


def test_the_very_images_are_recognised_without_the_key(library):
    own = stack(3)
    found = find_neighbours(library, Query(slices_of(own), own.slice_positions_mm), 2)
    names = library.pseudonyms()
    assert found.nearest[0].pseudonym == names[3] and found.own_pseudonym == ""
    assert found.of_query == {names[3]}
    assert [names[3] in notice for notice in found.notices if "the very images" in notice] == [True]


@pytest.mark.parametrize("by", ["kl", "geometry"])
def test_who_lies_elsewhere_is_left_out_and_counted(library, query, by):
    far = dataclasses.replace(query.stack, positions_mm=query.stack.positions_mm + 10_000)
    found = find_neighbours(library, dataclasses.replace(query, stack=far), by=by)
    assert found.nearest == () and found.left_out == PATIENTS
    assert any(f"{PATIENTS} patients have too little at the same level" in notice for notice in found.notices)


def test_a_large_library_is_measured_by_different_pairs_that_stay_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "cache"))
    own = stack(0)
    query = Query(slices_of(own), own.slice_positions_mm)
    with new_library(tmp_path / "large.sqlite", 22) as large:  # 231 pairs
        names = large.pseudonyms()
        first, again = (find_neighbours(large, query, 1).scale for _ in range(2))
        slices = [slices_of(large.record(name).series[0].posteriors) for name in names]
    every = [compare(one, other).distance for n, one in enumerate(slices) for other in slices[n + 1 :]]
    assert first.unlike.tolist() == again.unlike.tolist()
    assert len(np.unique(first.unlike)) == len(first.unlike) == MOST_PAIRS < len(every)
    assert np.isin(first.unlike.round(6), np.round(every, 6)).all()


def test_what_a_distance_means(library, query, tmp_path):
    scale = find_neighbours(library, query).scale
    assert scale is not None and len(scale.repeats) == 1
    names = library.pseudonyms()
    series = [(name, slices_of(each.posteriors)) for name in names for each in library.record(name).series]
    unlike = [
        compare(first, second).distance
        for n, (name, first) in enumerate(series)
        for other, second in series[n + 1 :]
        if name != other
    ]
    assert scale.unlike == pytest.approx(sorted(unlike), rel=1e-9)
    with new_library(tmp_path / "small.sqlite", 3) as small:
        few = find_neighbours(small, dataclasses.replace(query, geometry=None))
    assert few.scale is None and any("too small" in notice for notice in few.notices)


def test_landmarks_that_differ_have_no_scale_in_common(library, query):
    elsewhere = dataclasses.replace(query, stack=dataclasses.replace(query.stack, origin="vertex"))
    found = find_neighbours(library, elsewhere, 3)
    assert found.scale is None
    assert sum("not known in the same way" in notice for notice in found.notices) == 1


def test_plans_of_unequal_fractions(library, query):
    assert "only as EQD2" in find_neighbours(library, query).unequal_fractions
    assert find_neighbours(library, query, 1).unequal_fractions == ""


def test_cancel(library, query):
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        find_neighbours(library, query, cancel=cancel)
