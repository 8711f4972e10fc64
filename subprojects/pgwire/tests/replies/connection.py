"""One connection to a PostgreSQL server over its Unix socket, message by message.

The socket is a Unix socket because only there the kernel tells whether the server has read all that
was sent; with the server's own word that it waits for more (pg_stat_activity), that is proof that
nothing more will come.
"""

import fcntl
import os
import select
import socket
import struct
import termios
import time

from message import Message, frame, scram_answers, startup, string

DEADLINE_S = 20
LOOK_S = 0.0005  # after this long without an answer it is looked again whether one will come


class Connection:
    """A logged-in connection; with a `monitor` it can tell when the server has nothing more to say."""

    def __init__(self, where, monitor=None):
        self.monitor = monitor
        self.ended = False
        self._bytes = b""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(DEADLINE_S)
        self._socket.connect(os.path.join(where["folder"], f".s.PGSQL.{where['port']}"))
        self._log_in(where)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._socket.close()

    def _log_in(self, where):
        self._socket.sendall(startup(user=where["user"], database=where["database"], **where.get("settings", {})))
        while True:
            message = self._next()
            if message.letter == "R" and message.body[:4] == struct.pack("!I", 10):
                scram_answers(where["password"], self._challenge)
            elif message.letter == "K":
                self.pid = struct.unpack("!I", message.body[:4])[0]
            elif message.letter == "Z":
                return

    def _challenge(self, answer):
        self._socket.sendall(frame("p", answer))
        return self._next().body[4:]

    def _next(self):
        """The next message, waiting for it; an error if it is an unexpected ErrorResponse."""
        while True:
            messages = self._cut(1)
            if messages:
                if messages[0].letter == "E":
                    raise RuntimeError(messages[0].fields()["M"])
                return messages[0]
            got = self._socket.recv(65536)
            if not got:
                raise EOFError("the server closed the connection")
            self._bytes += got

    def _cut(self, limit=None):
        """The whole messages among the bytes received, at most `limit` of them."""
        messages = []
        while len(self._bytes) >= 5 and len(messages) != limit:
            length = struct.unpack("!I", self._bytes[1:5])[0]
            if len(self._bytes) < 1 + length:
                break
            messages.append(Message(chr(self._bytes[0]), self._bytes[5:1 + length]))
            self._bytes = self._bytes[1 + length:]
        return messages

    def _receive(self, timeout):
        """Takes in what lies in the socket, waiting up to timeout for something to come."""
        while not self.ended and select.select([self._socket], [], [], timeout)[0]:
            try:
                got = self._socket.recv(65536)
            except ConnectionResetError:
                got = b""
            self.ended = not got
            self._bytes += got
            timeout = 0

    def send(self, data):
        """A server that has ended the connection is seen by whoever reads next."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def query(self, sql):
        """The first column of each row of sql's result."""
        self.send(frame("Q", string(sql)))
        rows = []
        while True:
            message = self._next()
            if message.letter == "D":
                length = struct.unpack("!i", message.body[2:6])[0]
                rows.append(message.body[6:6 + length].decode() if length >= 0 else None)
            elif message.letter == "Z":
                return rows

    def wait_for(self, letter):
        """All messages up to the first with this letter."""
        messages = []
        deadline = time.monotonic() + DEADLINE_S
        while not messages or messages[-1].letter != letter:
            message = self._cut(1)
            if not message:
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise RuntimeError(f"no message {letter} came")
                self._receive(left)
            messages += message
        return messages

    def settle(self):
        """All messages until the server has read all that was sent, and waits for more."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            self._receive(LOOK_S)
            if self.ended or self._all_is_read() and self._server_waits():
                self._receive(0)
                return self._cut()
        raise RuntimeError(f"the server did not come to rest within {DEADLINE_S} s")

    def _all_is_read(self):
        unread = fcntl.ioctl(self._socket, termios.TIOCOUTQ, struct.pack("i", 0))
        return struct.unpack("i", unread)[0] == 0

    def _server_waits(self):
        return self.monitor.query(
            f"select wait_event from pg_stat_get_activity({self.pid})") == ["ClientRead"]
