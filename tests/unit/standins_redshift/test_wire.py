"""Frames survive any cutting of the byte stream."""

import struct

from hypothesis import given
from hypothesis import strategies as st

from standins.redshift import wire

frames = st.lists(
    st.tuples(st.sampled_from([b"C", b"Z", b"d", b"D", b"T"]), st.binary(max_size=40))
)


@given(frames, st.integers(1, 50), st.booleans())
def test_frames_are_found_wherever_the_stream_is_cut(sent, size, relay):
    stream = b"".join(wire.frame(kind, payload) for kind, payload in sent)
    splitter = wire.FrameSplitter()
    found = [
        item
        for start in range(0, len(stream), size)
        for item in splitter.feed(stream[start : start + size], relay=relay)
    ]
    again, copied, count = b"", b"", 0
    for kind, payload in found:
        if kind == b"d":
            assert isinstance(payload, wire.Rows)
            copied += payload
            count += payload.frames
        elif kind == wire.RAW_ROWS:
            again += payload
        else:
            again += wire.frame(kind, payload)
    assert again == b"".join(wire.frame(k, p) for k, p in sent if k != b"d")
    assert copied == b"".join(p for k, p in sent if k == b"d")
    assert count == sum(k == b"d" for k, _ in sent)


def test_errors_are_read_as_they_were_written():
    fields = {"S": "ERROR", "C": "XX000", "M": "1023", "D": "why"}
    written = wire.error(fields)
    assert written[:1] == b"E"
    assert wire.parse_error(written[5:]) == fields


def test_startup_parameters_are_read_as_they_were_written():
    parameters = {"user": "IAM:me", "database": "dev"}
    assert wire.parse_startup(wire.startup(parameters)[8:]) == parameters


def test_type_oids_are_exchanged_in_place():
    column = b"a\0" + struct.pack("!IHIhiH", 0, 0, 3802, -1, -1, 0)
    payload = struct.pack("!H", 2) + column + b"long name\0" + column[2:]
    changed = wire.row_description(wire.with_type_oids(payload, {3802: 4000}))
    assert [(field.name, field.type_oid) for field in changed] == [("a", 4000), ("long name", 4000)]
