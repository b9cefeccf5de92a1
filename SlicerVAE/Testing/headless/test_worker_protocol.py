"""Messages as they are written and read, and what garbage does to their reader."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SlicerVAELib.core.engine import Hardware, ReconstructRequest, SynthesizeRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Progress
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from SlicerVAELib.worker import protocol

MESSAGES = [
    protocol.Info(1),
    protocol.Reconstruct(2, {"bundle": {"$path": "/m"}}),
    protocol.Synthesize(3, {"count": 4}),
    protocol.Encode(3, {"bundle": {"$path": "/m"}}),
    protocol.Cancel(4),
    protocol.Ready(protocol.PROTOCOL_VERSION, 4711, "SlicerVAE 1.2.3"),
    protocol.ProgressReport(5, Progress(0.25, "Schädel\n", None)),
    protocol.Result(6, {"images": []}),
    protocol.Failed(None, "internal", "Es ist kaputt.", "Traceback\n…\udcff"),
]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda m: type(m).__name__)
def test_every_message_is_one_ascii_line_that_reads_back_as_itself(message):
    line = protocol.encode(message)
    assert line.isascii() and line.count(b"\n") == 1 and line.endswith(b"\n")
    assert protocol.decode(line, protocol.REQUESTS | protocol.ANSWERS) == message


@pytest.mark.parametrize("kinds", [protocol.REQUESTS, protocol.ANSWERS])
@pytest.mark.parametrize("name", [*protocol.REQUESTS, *protocol.ANSWERS])
def test_the_module_documents_every_message_and_every_entry(name, kinds):
    if name in kinds:
        entries = [field.name for field in dataclasses.fields(kinds[name])]
        assert f'"kind": "{name}"' in protocol.__doc__
        assert all(f'"{entry}"' in protocol.__doc__ for entry in entries)


@pytest.mark.parametrize(
    ("line", "reason", "message_id"),
    [
        (b"loading weights...", "no JSON", None),
        (b"\xff\xfe{", "no JSON", None),
        (b"[" * 100_000, "no JSON", None),
        (b"[1]", "no JSON object", None),
        (b'{"kind": 3}', "no JSON object", None),
        (b'{"kind": "recontsruct", "id": 7}', "did you mean 'reconstruct'", 7),
        (b'{"kind": "' + b"k" * 4_000_000 + b'", "id": 7}', "no message 'kkk", 7),
        (b'{"kind": "cancel"}', "lacks the entry 'id'", None),
        (b'{"kind": "cancel", "id": true}', "whole number", None),
        (b'{"kind": "cancel", "id": 1' + b"0" * 400 + b".5}", "whole number", None),
        (b'{"kind": "info", "id": 8, "really": 1}', "unknown entry 'really'", 8),
        (b'{"kind": "reconstruct", "id": 9, "request": 3}', "named values", 9),
        (None, "longer than", None),
    ],
)
def test_what_is_no_message_is_refused_with_the_reason_and_the_request_it_meant(line, reason, message_id):
    with pytest.raises(protocol.BadMessage, match=reason) as refusal:
        protocol.decode(line, protocol.REQUESTS)
    assert refusal.value.id == message_id


@pytest.mark.parametrize("process_id", [-1, 0, 1, True, "12"])
def test_a_process_id_that_would_end_other_processes_is_refused(process_id):
    data = {"kind": "ready", "protocol": protocol.PROTOCOL_VERSION, "process_id": process_id, "software": ""}
    with pytest.raises(protocol.BadMessage, match="process_id"):
        protocol.decode(json.dumps(data).encode(), protocol.ANSWERS)


def test_another_version_is_named_even_when_the_rest_of_ready_has_changed():
    with pytest.raises(protocol.WrongVersion, match=rf"version 99 .* version {protocol.PROTOCOL_VERSION}; install"):
        protocol.decode(b'{"kind": "ready", "protocol": 99, "gpu": "new entry"}', protocol.ANSWERS)


def test_what_cannot_be_read_again_is_not_written():
    with pytest.raises(UserError, match="not JSON compliant"):
        protocol.encode(protocol.ProgressReport(1, Progress(float("nan"), "")))
    with pytest.raises(UserError, match="bytes"):
        protocol.encode(protocol.Result(1, {"notices": "x" * protocol.MAX_LINE}))


@given(st.lists(st.binary(max_size=30)), st.data())
def test_lines_do_not_depend_on_how_the_stream_is_cut(parts, data):
    stream = b"\n".join(parts)
    expected = [line for line in stream.split(b"\n")[:-1] if line.strip()]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)))))
    lines = protocol.Lines()
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += lines.feed(stream[start:end])
    assert found == expected


@pytest.mark.parametrize("chunk", [1_000, 1_000_003, 2**30])
def test_a_line_that_is_too_long_is_dropped_whole_and_the_next_is_read(chunk):
    stream = b"a\n" + b"x" * (3 * protocol.MAX_LINE) + b"\nb\n" + b"y" * (protocol.MAX_LINE - 1) + b"\n"
    lines = protocol.Lines()
    found = [line for start in range(0, len(stream), chunk) for line in lines.feed(stream[start : start + chunk])]
    assert found == [b"a", None, b"b", b"y" * (protocol.MAX_LINE - 1)]


class Shelf:
    """Keeps packed arrays in memory."""

    def __init__(self):
        self.arrays = []

    def write(self, array):
        self.arrays.append(array)
        return protocol.ArrayReference(str(len(self.arrays) - 1), array.dtype.str, array.shape)

    def read(self, reference):
        return self.arrays[int(reference.file)]


def through_json(value):
    shelf = Shelf()
    data = json.loads(json.dumps(protocol.pack(value, shelf.write)))
    return protocol.unpack(type(value), data, shelf.read, "The request")


@given(st.sets(st.text(max_size=5) | st.sampled_from(["$array", "$path", "$$array", "$"])))
def test_a_volume_keeps_every_structure_whatever_its_name(names):
    masks = {name: np.full((1, 1, 2), index % 2, bool) for index, name in enumerate(names)}
    volume = Volume(np.zeros((1, 1, 2)), Geometry((1, 1, 2), np.eye(4)), masks=masks)
    back = through_json(ReconstructRequest(Path("m"), volume))
    assert list(back.volume.masks) == list(masks)
    assert all(np.array_equal(back.volume.masks[name], mask) for name, mask in masks.items())


def test_every_field_of_a_request_arrives():
    matrix = np.random.default_rng(0).normal(size=(4, 4))
    volume = Volume(
        np.ones((2, 3, 4), np.int16),
        Geometry((2, 3, 4), matrix),
        Modality.CT,
        True,
        {"Lung": np.ones((2, 3, 4), bool)},
        Source("Müller", "/a b", "p", "1.2", "1.3", "1.4", "d", "CHEST"),
    )
    hardware = Hardware("cuda:1", "bfloat16", 3)
    asked = ReconstructRequest(Path("m"), volume, ("residual",), sample_seed=5, hardware=hardware)
    back = through_json(asked)
    assert back.bundle == Path("m").absolute()
    assert np.array_equal(back.volume.geometry.ijk_to_ras, volume.geometry.ijk_to_ras)
    for name in ("outputs", "anomaly", "sample_seed", "hardware"):
        assert getattr(back, name) == getattr(asked, name)
    for name in ("modality", "modality_is_inferred", "source"):
        assert getattr(back.volume, name) == getattr(volume, name)
    drawn = SynthesizeRequest(Path("/m"), 3, 2**63 - 1, 0.1)
    assert dataclasses.asdict(through_json(drawn)) == dataclasses.asdict(drawn)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"count": 0}, "'count' is 0; allowed is 1 to 10000"),
        ({"count": "many"}, "whole number"),
        ({"colour": "red"}, "unknown entry 'colour'"),
        ({"bundle": "/m"}, "'bundle'"),
        ({"bundle": {"$array": {"file": "x"}}}, "lacks the entry 'dtype'"),
        ({"hardware": {"precision": "float8"}}, "float8"),
    ],
)
def test_a_request_that_is_none_is_refused_in_one_sentence(change, reason):
    data = protocol.pack(SynthesizeRequest(Path("/m")), Shelf().write) | change
    with pytest.raises(UserError, match=reason):
        protocol.unpack(SynthesizeRequest, data, Shelf().read, "The request")


def test_a_volume_that_does_not_hold_together_is_refused_in_one_sentence():
    shelf = Shelf()
    volume = Volume(np.zeros((1, 2, 3)), Geometry((1, 2, 3), np.eye(4)))
    data = protocol.pack(ReconstructRequest(Path("m"), volume), shelf.write)
    data["volume"]["geometry"]["shape"] = [3, 2, 1]
    with pytest.raises(UserError, match="does not hold together: array"):
        protocol.unpack(ReconstructRequest, data, shelf.read, "The request")


def test_nesting_without_end_is_refused():
    nested: dict = {}
    for _ in range(5000):
        nested = {"a": nested}
    with pytest.raises(UserError, match="does not hold together"):
        protocol.unpack(SynthesizeRequest, nested, Shelf().read, "The request")
