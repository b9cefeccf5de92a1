"""Reading someone else's data: what is wrong is told in one sentence that says where."""

import dataclasses
import json
import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.engine import AnomalyOptions, Hardware, Provenance
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Progress
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.core.volume import Modality, Source


@dataclasses.dataclass(frozen=True)
class Inner:
    size: int = dataclasses.field(default=8, metadata={"min": 1, "max": 64})


@dataclasses.dataclass(frozen=True)
class Everything:
    number: float
    count: int
    flag: bool
    text: str
    kind: Literal["a", "b"]
    modality: Modality
    inner: Inner
    pair: tuple[float, float]
    names: tuple[str, ...] = ()
    items: list[int] = dataclasses.field(default_factory=list)
    named: dict[str, Inner] = dataclasses.field(default_factory=dict)
    optional: float | None = dataclasses.field(default=None, metadata={"min": 0.0})
    colour: str = dataclasses.field(default="red", metadata={"choices": ("red", "blue")})
    anything: Any = None


GOOD = {
    "number": 1.5,
    "count": 3,
    "flag": True,
    "text": "x",
    "kind": "b",
    "modality": "CT",
    "inner": {"size": 64},
    "pair": [1.0, 2.0],
    "names": ["p", "q"],
    "items": [1, 2],
    "named": {"one": {"size": 1}},
    "optional": 0.0,
    "colour": "blue",
    "anything": {"x": [None]},
}


def test_good_data_is_read_with_its_types():
    record = from_data(Everything, GOOD, "file")
    assert record.modality is Modality.CT
    assert record.inner == Inner(64)
    assert record.pair == (1.0, 2.0)
    assert record.names == ("p", "q")
    assert record.named == {"one": Inner(1)}
    assert json.loads(json.dumps(to_data(record))) == GOOD


@pytest.mark.parametrize(
    ("entry", "given", "read"),
    [
        ("number", 2, 2.0),
        ("count", 4.0, 4),
        ("optional", None, None),
        ("number", np.float32(0.5), 0.5),
        ("count", np.int64(4), 4),
    ],
)
def test_numbers_are_read_as_what_the_field_holds(entry, given, read):
    value = getattr(from_data(Everything, GOOD | {entry: given}, "file"), entry)
    assert value == read
    assert type(value) is type(read)


BAD = [
    ("number", True, "number"),
    ("number", "1.5", "number"),
    ("number", None, "number"),
    ("number", math.nan, "finite"),
    ("number", -math.inf, "number"),
    ("number", 10**400, "number"),
    ("count", True, "whole number"),
    ("count", 1.5, "whole number"),
    ("count", math.inf, "whole number"),
    ("count", math.nan, "whole number"),
    ("flag", 1, "true or false"),
    ("flag", "true", "true or false"),
    ("text", 5, "text"),
    ("text", None, "text"),
    ("kind", "c", "valid are 'a', 'b'"),
    ("kind", ["a"], "valid are"),
    ("modality", "CTT", "did you mean 'CT'"),
    ("modality", None, "valid are"),
    ("inner", 8, "named values"),
    ("inner", {"size": 0}, "1 to 64"),
    ("inner", {"size": True}, "whole number"),
    ("inner", {"sise": 8}, "did you mean 'size'"),
    ("pair", [1.0], "2 values but has 1"),
    ("pair", [1.0, "2"], "item 2"),
    ("pair", 3.0, "list"),
    ("names", "pq", "list"),
    ("names", [1], "item 1"),
    ("items", {"0": 1}, "list"),
    ("named", [1], "named values"),
    ("named", {"one": {"size": 99}}, "'one'"),
    ("optional", -1.0, "at least 0"),
    ("optional", "x", "number"),
    ("colour", "green", "'red', 'blue'"),
]


@pytest.mark.parametrize(("entry", "value", "word"), BAD)
def test_bad_data_is_refused_with_the_entry_and_what_is_allowed(entry, value, word):
    with pytest.raises(UserError) as caught:
        from_data(Everything, GOOD | {entry: value}, "bundle.json of lungs")
    sentence = str(caught.value)
    assert sentence.startswith("bundle.json of lungs")
    assert f"'{entry}'" in sentence
    assert word in sentence


@pytest.mark.parametrize("entry", ["number", "inner", "modality"])
def test_a_missing_entry_is_named(entry):
    with pytest.raises(UserError, match=f"lacks the entry '{entry}'"):
        from_data(Everything, {key: value for key, value in GOOD.items() if key != entry}, "file")


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(UserError, match="named values"):
        from_data(Everything, data, "file")


def test_an_unknown_entry_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="unknown entry 'colur'; did you mean 'colour'"):
        from_data(Everything, GOOD | {"colur": "red"}, "file")


@pytest.mark.parametrize("entry", ["text", "number", "kind", "modality", "colour", "inner", "pair", "flag"])
def test_a_sentence_stays_a_sentence_however_long_the_value(entry):
    with pytest.raises(UserError) as caught:
        from_data(Everything, GOOD | {entry: [["x" * 100_000]]}, "file")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("intensity", "words"),
    [
        ({"kind": "hounsfield", "lower": "x"}, ("'lower'", "number")),
        ({"kind": "hounsfield", "uper": 700}, ("did you mean 'upper'",)),
        ({"kind": "foreground-percentiles", "upper": 101}, ("'upper'", "50.0 to 100.0")),
        ({"kind": "hounsfeld"}, ("'kind'", "did you mean 'hounsfield'")),
        ({"kind": 7}, ("'kind'", "'foreground-percentiles'", "'hounsfield'")),
        ({"kind": "hounsfield", "lower": 5, "upper": -5}, ("'intensity'", "lower end 5", "upper end -5")),
        (5, ("'intensity'", "named values")),
    ],
)
def test_one_of_several_kinds_is_judged_as_what_it_says_it_is(intensity, words):
    with pytest.raises(UserError) as caught:
        from_data(Preprocessing, {"intensity": intensity, "size": 64, "spacing_mm": 6.0}, "recipe")
    for word in words:
        assert word in str(caught.value)


def test_each_kind_is_read_as_itself():
    for intensity in (HounsfieldWindow(lower=-10.0), ForegroundPercentiles(upper=60.0)):
        record = Preprocessing(intensity, 64, 6.0)
        assert from_data(Preprocessing, to_data(record), "recipe") == record


finite = st.floats(allow_nan=False, allow_infinity=False)
positive = st.floats(0.01, 100.0)
RECORDS = st.one_of(
    st.builds(
        Preprocessing,
        st.one_of(
            st.builds(HounsfieldWindow, lower=st.floats(-1024, 0), upper=st.floats(1, 30000)),
            st.builds(ForegroundPercentiles, lower=st.floats(0, 50), upper=st.floats(50, 100)),
        ),
        st.integers(8, 4096),
        positive,
        st.sampled_from(["grid", "foreground"]),
        st.one_of(st.none(), positive),
    ),
    st.builds(
        Declaration,
        st.sampled_from(Modality),
        st.text(),
        finite,
        st.tuples(finite, finite),
        st.integers(),
        st.text(),
        st.lists(st.text()).map(tuple),
        st.booleans(),
        st.sampled_from(["axial", "coronal", "sagittal"]),
    ),
    st.builds(Hardware, st.text(), st.sampled_from(["auto", "bfloat16"]), st.integers(0, 4096)),
    st.builds(AnomalyOptions, st.text(), st.booleans(), *[st.floats(0, 50)] * 2, st.floats(1e-3, 9), st.floats(0, 9)),
    st.builds(Source, *[st.text()] * 8),
    st.builds(Progress, finite, st.text(), st.one_of(st.none(), finite)),
    st.builds(
        Provenance,
        *[st.text()] * 5,
        parameters=st.dictionaries(st.text(), st.text()),
        warnings=st.lists(st.text()).map(tuple),
        device=st.text(),
    ),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(RECORDS)
def test_every_record_comes_back_from_its_json_as_it_was(record):
    assert from_data(type(record), json.loads(json.dumps(to_data(record))), "file") == record


ODD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.sampled_from(sorted(GOOD)), ODD)
def test_odd_data_is_read_or_refused_but_never_another_error(entry, value):
    try:
        record = from_data(Everything, GOOD | {entry: value}, "file")
    except UserError as error:
        assert str(error).startswith("file")
    else:
        assert from_data(Everything, to_data(record), "file") == record or entry == "anything"
