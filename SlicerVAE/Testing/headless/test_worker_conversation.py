"""The client's half of the protocol, byte by byte, without a process."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SlicerVAELib.core.engine import EngineInfo
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Progress
from SlicerVAELib.worker import protocol
from SlicerVAELib.worker.arrays import Scratch
from SlicerVAELib.worker.conversation import Conversation, FailedEvent, ProgressEvent, ResultEvent
from Testing.headless.worker_helper import SmallEngine, request

READY = protocol.Ready(protocol.PROTOCOL_VERSION, 4711, "SlicerVAE 1.2.3")
INFO = EngineInfo(4711, "SlicerVAE", "2.6", ("cpu",), {"cpu": 5})


def ready_conversation(scratch):
    conversation = Conversation(scratch)
    assert conversation.feed(protocol.encode(READY)) == [READY]
    return conversation


def answer_to(line: bytes, scratch: Scratch) -> bytes:
    """What a worker with SmallEngine writes to the reconstruct request ``line``."""
    message = protocol.decode(line, protocol.REQUESTS)
    guest = Scratch(scratch.folder)
    asked = protocol.unpack(type(request()), message.request, guest.read, "The request")
    result = protocol.pack(SmallEngine().reconstruct(asked), guest.write)
    return protocol.encode(protocol.Result(message.id, result))


def message_id(line: bytes) -> int:
    return json.loads(line)["id"]


def test_a_request_is_answered_with_its_arrays_and_the_folder_is_empty_again(scratch):
    conversation = ready_conversation(scratch)
    line = conversation.ask(request())
    assert conversation.busy and conversation.process_id == 4711
    progress = Progress(0.5, "halfway", 2.0)
    events = conversation.feed(protocol.encode(protocol.ProgressReport(message_id(line), progress)))
    assert events == [ProgressEvent(progress)]
    (event,) = conversation.feed(answer_to(line, scratch))
    assert isinstance(event, ResultEvent) and not conversation.busy
    np.testing.assert_array_equal(event.result.arrays["image"], np.arange(24).reshape(2, 3, 4))
    assert list(scratch.folder.iterdir()) == []


def test_a_request_may_be_sent_before_the_worker_is_ready(scratch):
    conversation = Conversation(scratch)
    line = conversation.info()
    answer = protocol.Result(message_id(line), protocol.pack(INFO, scratch.write))
    events = conversation.feed(b"Launching...\n" + protocol.encode(READY) + protocol.encode(answer))
    assert events[0] == READY and events[1].result == INFO


def test_a_second_request_waits_its_turn(scratch):
    conversation = ready_conversation(scratch)
    conversation.info()
    for ask in (conversation.info, lambda: conversation.ask(request())):
        with pytest.raises(UserError, match="still at work"):
            ask()
    assert list(scratch.folder.iterdir()) == []


def test_a_request_that_cannot_be_sent_leaves_nothing(scratch):
    conversation = ready_conversation(scratch)
    with pytest.raises(UserError, match="convert it to numbers"):
        conversation.ask(request(masks={"Lung": np.zeros((2, 3, 4), bool), "names": np.full((2, 3, 4), "a")}))
    with pytest.raises(UserError, match="bytes"):
        masks = {f"{n}{'x' * 1_000_000}": np.zeros((2, 3, 4), bool) for n in range(5)}
        conversation.ask(request(masks=masks))
    assert not conversation.busy
    assert list(scratch.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "raised"),
    [(name, UserError) for name in ("user", "busy", "protocol", "internal")] + [("cancelled", Cancelled)],
)
def test_a_failure_of_the_worker_is_an_error_to_show(scratch, caplog, error, raised):
    conversation = ready_conversation(scratch)
    line = conversation.ask(request())
    failed = protocol.Failed(message_id(line), error, "The bundle is damaged.", "Traceback of the worker")
    (event,) = conversation.feed(protocol.encode(failed))
    assert type(event.error) is raised
    assert raised is Cancelled or str(event.error) == "The bundle is damaged."
    assert "Traceback of the worker" in caplog.text
    assert list(scratch.folder.iterdir()) == [] and not conversation.busy


@pytest.mark.parametrize("ending", ["result", "failed", "death"])
def test_whatever_comes_after_cancel_is_cancelled(scratch, ending):
    conversation = ready_conversation(scratch)
    assert conversation.cancel() == b""
    line = conversation.ask(request())
    assert protocol.decode(conversation.cancel(), protocol.REQUESTS) == protocol.Cancel(message_id(line))
    assert conversation.feed(protocol.encode(protocol.ProgressReport(message_id(line), Progress(1, "")))) == []
    if ending == "result":
        (event,) = conversation.feed(answer_to(line, scratch))
    elif ending == "failed":
        (event,) = conversation.feed(protocol.encode(protocol.Failed(message_id(line), "internal", "Oh.")))
    else:
        event = conversation.closed(-9)
    assert isinstance(event.error, Cancelled)
    assert list(scratch.folder.iterdir()) == [] and not conversation.busy


def test_answers_to_another_request_are_ignored(scratch):
    conversation = ready_conversation(scratch)
    late = protocol.encode(protocol.Result(77, {})) + protocol.encode(protocol.ProgressReport(77, Progress(1, "")))
    assert conversation.feed(late) == []
    conversation.info()
    assert conversation.feed(late) == [] and conversation.busy


def test_an_answer_that_is_none_of_the_kind_asked_for_is_an_error(scratch):
    conversation = ready_conversation(scratch)
    line = conversation.ask(request())
    (event,) = conversation.feed(protocol.encode(protocol.Result(message_id(line), {"images": 3})))
    assert "The answer of the worker has an unknown entry 'images'" in str(event.error)


def test_an_answer_that_points_out_of_the_folder_is_refused(scratch):
    np.save(scratch.folder.parent / "secret.npy", np.zeros(3))
    conversation = ready_conversation(scratch)
    line = conversation.ask(request())
    answer = json.loads(answer_to(line, scratch))
    answer["result"]["arrays"]["image"]["$array"]["file"] = "../secret.npy"
    (event,) = conversation.feed(json.dumps(answer).encode() + b"\n")
    assert isinstance(event, FailedEvent) and "is refused" in str(event.error)
    assert list(scratch.folder.iterdir()) == []


def test_another_version_of_the_protocol_is_one_sentence_once(scratch):
    conversation = Conversation(scratch)
    conversation.ask(request())
    line = b'{"kind": "ready", "protocol": 99, "pid": 5}\n'
    (event,) = conversation.feed(line + line + protocol.encode(READY))
    assert "version 99 of the protocol" in str(event.error)
    assert not conversation.ready and not conversation.busy
    assert conversation.closed(0) is None


def test_why_there_is_no_engine_is_told_once(scratch):
    conversation = Conversation(scratch)
    failed = protocol.Failed(None, "user", "torch is not installed in /usr/bin/python3; install it there.")
    (event,) = conversation.feed(protocol.encode(failed))
    assert str(event.error).startswith("torch is not installed in /usr/bin/python3")
    assert conversation.closed(1) is None


@pytest.mark.parametrize(
    ("exit_code", "stderr", "sentence"),
    [
        (-9, "", "ended by the system, most often because memory ran out"),
        (137, "Killed", "memory ran out"),
        (0xC0000017, "", "memory ran out"),
        (-11, "", "crashed .bad memory."),
        (139, "", "crashed .bad memory."),
        (134, "", "crashed .abort."),
        (0xC0000005, "", "crashed .code 0xc0000005."),
        (-1073741819, "", "crashed .code 0xc0000005."),
        (-15, "", "with exit code -15; try again"),
        (3, "a\nno licence.\n\n", "with exit code 3: no licence; try again"),
        (None, "", "ended unexpectedly; try again"),
    ],
)
def test_death_at_work_is_one_sentence_that_says_why(scratch, exit_code, stderr, sentence):
    conversation = ready_conversation(scratch)
    conversation.ask(request())
    event = conversation.closed(exit_code, stderr)
    with pytest.raises(UserError, match=sentence):
        raise event.error
    assert "\n" not in str(event.error)
    assert not conversation.busy and not conversation.ready and list(scratch.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("stderr", "sentence"),
    [
        (
            "Traceback\nModuleNotFoundError: No module named 'numpy'\n",
            "numpy is not installed in its Python",
        ),
        ("/usr/bin/python3: No module named SlicerVAELib\n", "SlicerVAELib is not installed"),
        (
            "Traceback\nImportError: libc.so.7: not found\n",
            "could not start: ImportError: libc.so.7: not found; check",
        ),
        ("", "could not start; check"),
    ],
)
def test_death_at_the_start_is_one_sentence_that_says_why(scratch, stderr, sentence):
    with pytest.raises(UserError, match=sentence):
        raise Conversation(scratch).closed(1, stderr).error


def test_a_death_that_interrupts_nothing_is_silent_and_the_next_worker_is_heard(scratch):
    conversation = ready_conversation(scratch)
    conversation.feed(b'{"kind": "res')
    assert conversation.closed(-9) is None
    assert conversation.process_id is None
    assert conversation.feed(protocol.encode(READY)) == [READY]
    line = conversation.ask(request())
    assert isinstance(conversation.feed(answer_to(line, scratch))[0], ResultEvent)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
message_like = st.fixed_dictionaries(
    {"kind": st.sampled_from([*protocol.ANSWERS, *protocol.REQUESTS, "other"])},
    optional={
        "id": st.sampled_from([1, 1, 2, None]) | json_values,
        "protocol": st.sampled_from([1, 2, 2]) | json_values,
        "process_id": st.integers(-2, 5) | json_values,
        "software": json_values,
        "progress": st.fixed_dictionaries({"fraction": json_values, "stage": json_values}) | json_values,
        "error": st.sampled_from(["user", "cancelled", "internal"]) | json_values,
        "message": json_values,
        "detail": json_values,
        "result": json_values
        | st.fixed_dictionaries({"arrays": st.fixed_dictionaries({"$array": json_values}), "window": json_values}),
    },
).map(lambda data: json.dumps(data).encode() + b"\n")
garbage = st.binary(max_size=40) | json_values.map(lambda data: json.dumps(data).encode() + b"\n") | message_like


def summary(events):
    return [f"{type(event).__name__}: {getattr(event, 'error', event)}" for event in events]


@given(st.lists(garbage, max_size=8), st.booleans(), st.data())
def test_no_garbage_raises_and_the_cuts_do_not_matter(common_scratch, parts, busy, data):
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    whole, cut = Conversation(common_scratch), Conversation(common_scratch)
    if busy:
        whole.ask(request())
        cut.ask(request())
    expected = summary(whole.feed(stream))
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += cut.feed(stream[start:end])
    assert summary(found) == expected
    assert whole.closed(0) is None or isinstance(whole.closed(0).error, UserError)


@given(st.lists(garbage, max_size=5))
def test_after_garbage_a_good_answer_is_still_heard(common_scratch, parts):
    conversation = ready_conversation(common_scratch)
    line = conversation.info()
    noise = b"\n".join(part for part in parts if b'"id": 1' not in part) + b"\n"
    answer = protocol.encode(protocol.Result(message_id(line), protocol.pack(INFO, common_scratch.write)))
    events = conversation.feed(noise + answer)
    assert events[-1].result == INFO
