"""Messages are cut into packets and come back whole, whatever the sizes."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from standins.sqlserver.packets import HEADER_BYTES, PacketType, PacketWriter, read_message


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=3000)), size=st.integers(512, 4096))
def test_a_message_survives_its_packets(pieces: list[bytes], size: int) -> None:
    async def through() -> tuple[bytes, int]:
        writer = PacketWriter(size)
        wire = b"".join(writer.add(piece) for piece in pieces) + writer.finish()
        reader = asyncio.StreamReader()
        reader.feed_data(wire)
        reader.feed_eof()
        message = await read_message(reader.readexactly)
        assert message.kind == PacketType.RESPONSE
        return message.body, len(wire)

    body, sent = asyncio.run(through())
    whole = b"".join(pieces)
    assert body == whole
    packets = max(-(-len(whole) // (size - HEADER_BYTES)), 1)
    assert sent == len(whole) + packets * HEADER_BYTES
