"""What a library tells of itself to choose by; in a file and on a server."""

import dataclasses

from SlicerVAELib.library.contents import Contents, contents_of
from SlicerVAELib.library.selection import Selection
from Testing.headless.library_samples import identity, new_library, record


def test_what_there_is_to_choose_by(library_address):
    with new_library(library_address, 4) as library:
        assert contents_of(library) == Contents(
            patients=4,
            sites=("breast", "lung"),
            lateralities=("left",),
            techniques=("VMAT",),
            structures=("Heart", "Lung_L"),
            prescription_gy=(50.0, 53.0),
        )


def test_texts_are_one_where_choosing_makes_no_difference(library_address):
    with new_library(library_address, 1) as library:
        for number, site in ((1, "LUNG"), (2, "Lung"), (3, "")):
            given = record(number)
            (plan,) = given.plans
            library.add(identity(number), dataclasses.replace(given, plans=(dataclasses.replace(plan, site=site),)))
        (breast, lung) = contents_of(library).sites
        assert breast == "breast" and lung.casefold() == "lung"
        assert len(library.pseudonyms(Selection(site=lung))) == 2


def test_an_empty_one(library_address):
    with new_library(library_address) as library:
        assert contents_of(library) == Contents(0, (), (), (), (), None)


def test_a_range_of_doses_may_be_open(library_address):
    with new_library(library_address, 4) as library:
        assert len(library.pseudonyms(Selection(prescription_gy=(52.0, float("inf"))))) == 2
