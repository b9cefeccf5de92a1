"""The benchmark of planned geometries measures what it says, at a size of seconds."""

from slicervae.benchmarks.library_structures import measure
from SlicerVAELib.core.progress import ignore


def test_the_targets_stand_beside_what_they_are_for():
    ranked, checked, prepared = measure(2, ignore, patients=12)
    assert ranked.what == "12 patients of 8 organs and a target ranked by geometry"
    assert (ranked.target, checked.target, prepared.target) == (2.0, 2.0, None)
    assert min(ranked.value, checked.value, prepared.value) > 0
