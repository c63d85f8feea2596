"""The bytes of one connection: clear text, or TLS whose handshake travels inside TDS packets (MS-TDS 3.3.5.1)."""

import asyncio
import ssl

from standins.sqlserver.packets import PacketType, PacketWriter, read_message

READ_BYTES = 65536


class Channel:
    """Reads and writes the bytes of a connection; after `start_tls` they are encrypted."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._decrypted = bytearray()

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes.

        Raises:
            asyncio.IncompleteReadError: the client closed the connection.
        """
        if self._tls is None:
            return await self._reader.readexactly(count)
        while len(self._decrypted) < count:
            try:
                piece = self._tls.read(READ_BYTES)
                if not piece:
                    # The client's goodbye; reading on would never wait again.
                    raise asyncio.IncompleteReadError(bytes(self._decrypted), count)
                self._decrypted += piece
            except ssl.SSLWantReadError:
                self._flush()
                data = await self._reader.read(READ_BYTES)
                if not data:
                    raise asyncio.IncompleteReadError(bytes(self._decrypted), count) from None
                self._incoming.write(data)
            except ssl.SSLZeroReturnError:
                raise asyncio.IncompleteReadError(bytes(self._decrypted), count) from None
        result = bytes(self._decrypted[:count])
        del self._decrypted[:count]
        return result

    async def write(self, data: bytes) -> None:
        """Sends bytes; waits while the client does not read, so that memory stays bounded."""
        if self._tls is None:
            self._writer.write(data)
        else:
            view = memoryview(data)
            while view:
                view = view[self._tls.write(view[:READ_BYTES]) :]
            self._flush()
        await self._writer.drain()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._writer.write(self._outgoing.read())

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Shakes hands; each flight of it is the body of a PRELOGIN message.

        Raises:
            ssl.SSLError: the client did not accept the certificate or the protocol.
        """
        tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                finished = True
            except ssl.SSLWantReadError:
                finished = False
            if self._outgoing.pending:
                flight = PacketWriter(1 << 15, PacketType.PRELOGIN)
                self._writer.write(flight.add(self._outgoing.read()) + flight.finish())
                await self._writer.drain()
            if finished:
                self._tls = tls
                return
            self._incoming.write((await read_message(self._reader.readexactly)).body)

    def abort(self) -> None:
        """Drops the connection at once, without a goodbye."""
        self._writer.transport.abort()

    def close(self) -> None:
        """Ends the connection after what is written has left."""
        self._writer.close()
