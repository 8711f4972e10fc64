"""Many clients of PostgreSQL in one process: connections as asyncio coroutines, message by message.

    client = await Client.connect(port, "app", "app", password="secret")
    rows = await client.query("select 1")
    await client.close()

Every wait ends after DEADLINE_S, so that a hang is an error that says where.
"""

import asyncio
import resource
import socket
import struct
import time

from message import Message, frame, scram_dialogue, startup, string
from wire import (CHUNK, DEADLINE_S, SYNC, TERMINATE, ServerError, bind, describe, execute, md5_answer, parse,
                  query, row_of)


def extended_query(sql):
    """One that says the same as query(sql), in the extended protocol."""
    return parse(sql) + bind() + describe() + execute() + SYNC


def cut(buffer):
    """The whole messages at the start of a bytearray, which are taken off it."""
    messages, at = [], 0
    while len(buffer) - at >= 5:
        length = int.from_bytes(buffer[at + 1:at + 5], "big")
        if len(buffer) - at < 1 + length:
            break
        messages.append(Message(chr(buffer[at]), bytes(buffer[at + 5:at + 1 + length])))
        at += 1 + length
    del buffer[:at]
    return messages


class Client:
    """One connection. Not for two coroutines at a time."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.pid = self.secret = None
        self._buffer = bytearray()
        self._messages = []

    @classmethod
    async def open(cls, port, host="127.0.0.1", **options):
        """Connected, nothing sent."""
        async with asyncio.timeout(DEADLINE_S):
            return cls(*await asyncio.open_connection(host, port, **options))

    @classmethod
    async def connect(cls, port, user, database, password=None, **options):
        """Logged in."""
        client = await cls.open(port, **options)
        try:
            await client.log_in(user, database, password)
        except BaseException:
            client.drop()
            raise
        return client

    async def log_in(self, user, database, password=None):
        self.send(startup(user=user, database=database))
        dialogue = scram_dialogue(password)
        while True:
            message = await self.next()
            if message.letter == "E":
                raise ServerError(message)
            if message.letter == "Z":
                return
            if message.letter == "K":
                self.pid, self.secret = int.from_bytes(message.body[:4], "big"), message.body[4:]
            elif message.letter == "R":
                self._authenticate(message.body, user, password, dialogue)

    def _authenticate(self, body, user, password, dialogue):
        kind = int.from_bytes(body[:4], "big")
        if kind == 3:
            self.send(frame("p", string(password)))
        elif kind == 5:
            self.send(frame("p", string(md5_answer(user, password, body[4:8]))))
        elif kind == 10:
            self.send(frame("p", next(dialogue)))
        elif kind == 11:
            self.send(frame("p", dialogue.send(body[4:])))

    def send(self, data):
        self.writer.write(data)

    async def next(self, timeout=DEADLINE_S):
        """The next message; ConnectionError at the end of the stream."""
        while not self._messages:
            async with asyncio.timeout(timeout):
                data = await self.reader.read(CHUNK)
            if not data:
                raise ConnectionError("closed by the peer")
            self._buffer += data
            self._messages = cut(self._buffer)[::-1]
        return self._messages.pop()

    async def answer(self, timeout=DEADLINE_S):
        """The rows up to ReadyForQuery; raises the error that was among them, a FATAL one at once."""
        rows, error = [], None
        while True:
            message = await self.next(timeout)
            if message.letter == "D":
                rows.append(row_of(message.body))
            elif message.letter == "E":
                error = ServerError(message)
                if error.fields["S"] != "ERROR":
                    raise error
            elif message.letter == "Z":
                if error is not None:
                    raise error
                return rows

    async def query(self, sql, timeout=DEADLINE_S):
        self.send(query(sql))
        return await self.answer(timeout)

    async def extended(self, sql, timeout=DEADLINE_S):
        self.send(extended_query(sql))
        return await self.answer(timeout)

    async def ended(self, timeout=DEADLINE_S):
        """All messages up to the end of the stream, whether it ends by FIN or by a reset."""
        messages = []
        try:
            while True:
                messages.append(await self.next(timeout))
        except ConnectionError:
            return messages

    async def close(self):
        """As libpq does: Terminate, then the end."""
        self.send(TERMINATE)
        await self._finish()

    async def hang_up(self):
        await self._finish()

    async def _finish(self):
        self.writer.close()
        try:
            async with asyncio.timeout(DEADLINE_S):
                await self.writer.wait_closed()
        except ConnectionError:
            pass

    def drop(self):
        """Gone at once, with a reset, unless it has gone already."""
        sock = self.writer.get_extra_info("socket")
        if sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def come_in(port, *who, timeout=20):
    """A client that gets in as soon as there is room: that somebody has left is nowhere told."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            return await Client.connect(port, *who)
        except ServerError as error:
            if error.sqlstate != "53300" or time.monotonic() > deadline:
                raise


async def together(coroutines, timeout=120):
    """Runs all; the first exception ends the others and is raised. Their results, in order."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        async with asyncio.timeout(timeout):
            return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def allow_many_files():
    """Raises the limit on open files of this process, which its children inherit, to its maximum."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
