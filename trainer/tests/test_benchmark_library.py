"""The benchmark of the search at a size that takes no time, and that its figures are of an exact search."""

from slicervae.benchmarks.library_search import Scale, measure


def test_every_figure_is_measured_and_the_largest_search_has_the_targets():
    scale = Scale(posteriors=(500, 2000), patients=30, slices=12, latents=6, count=5, matches=3)
    seen = []
    figures = measure(2, seen.append, scale)
    assert seen[-1].fraction == 1
    without_faiss = [figure for figure in figures if "faiss" not in figure.what]
    assert len(without_faiss) == 2 * 4 + 5 + 4
    by_name = {figure.what: figure for figure in figures}
    assert all(figure.value > 0 for figure in figures if "recall" not in figure.what)
    assert by_name["5 nearest of 500 posteriors of 6 latents, to a bare float32 product"].target is None
    assert by_name["5 nearest of 2,000 posteriors of 6 latents, to a bare float32 product"].target == 1.5
    assert by_name["5 nearest of 2,000 posteriors of 6 latents, torch.distributions to it"].sense == "at least"
    assert 0 <= by_name["coarse pass that leaves 3 of 30 patients: recall at 3"].value <= 1
    ranked = "30 patients of 12 slices ranked for one of 12"
    assert by_name[ranked].target == 2.0
    assert by_name[f"{ranked}, memory to the lifted float32 matrix"].value > 1
    assert 3 <= by_name[f"{ranked}, compared in float64"].value <= 30
