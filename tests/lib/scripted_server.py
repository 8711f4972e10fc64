"""A PostgreSQL server that does what a test says, at the moment the test says it.

    with ScriptedServer() as server:
        ... weir in front of server.host, server.port ...
        session = server.session(0)
        session.wait_for("Q")
        session.send(command_complete("SELECT 1") + ready("I"))

It lets everybody in, answers what `answer(session, message)` returns, if given one, and keeps silent
otherwise; a Terminate ends the connection. Every byte received and every connection, open or not, stays on record.
"""

import contextlib
import socket
import struct
import threading
import time

from message import Message, frame, string

DEADLINE_S = 20
PARAMETERS = {"server_version": "15.0", "server_encoding": "UTF8", "client_encoding": "UTF8",
              "DateStyle": "ISO, MDY", "TimeZone": "UTC", "integer_datetimes": "on",
              "standard_conforming_strings": "on", "is_superuser": "off"}
SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102


class Session:
    """One connection to the server after its startup packet."""

    def __init__(self, server, connection, number):
        self.server = server
        self.number = number       # from 0 on, in the order of login
        self.pid = 1000 + number   # that of its BackendKeyData
        self.received = bytearray()
        self.messages = []
        self.ended = False         # the peer has closed, or said that it will
        self._socket = connection
        self._rest = bytearray()   # of a message that has not come whole
        self._reads = threading.Event()
        self._reads.set()

    def send(self, data):
        self._socket.sendall(data)

    def finish(self, data=b""):
        """Ends the connection by FIN, after these last bytes."""
        self.send(data)
        with contextlib.suppress(OSError):  # the peer may have ended it first, at the last byte
            self._socket.shutdown(socket.SHUT_RDWR)

    def reset(self):
        """Ends the connection by RST."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # The reading thread keeps the descriptor in use: only this breaks it off at once.
        self._socket.shutdown(socket.SHUT_RD)

    def pause(self):
        """Receives nothing any more, but for what is on its way already."""
        self._reads.clear()

    def go_on(self):
        self._reads.set()

    def letters(self):
        """Those of the whole messages that have come."""
        return "".join(message.letter for message in self.messages)

    def wait_until(self, condition, what):
        """Waits until condition(), which is asked after each event of the server."""
        self.server.wait_until(condition, lambda: f"{what}; came: {self.letters()!r}")

    def wait_for(self, letter, times=1):
        """The last of so many messages with this letter."""
        self.wait_until(lambda: self.letters().count(letter) >= times, f"no {letter} x {times}")
        return [message for message in self.messages if message.letter == letter][times - 1]

    def wait_until_ended(self):
        self.wait_until(lambda: self.ended, "still open")

    # On the thread of the connection

    def serve(self):
        while not self.ended:
            self._reads.wait()
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b""
            for message in self._take(data):
                if message.letter == "X":
                    return
                if self.server.answer is not None:
                    self._answer(message)

    def _take(self, data):
        with self.server.changed:
            self.ended = not data
            self.received += data
            self._rest += data
            whole, at = [], 0
            while len(self._rest) - at >= 5:
                letter, length = struct.unpack_from("!cI", self._rest, at)
                end = at + 1 + length
                if len(self._rest) < end:
                    break
                whole.append(Message(letter.decode("latin-1"), bytes(self._rest[at + 5:end])))
                at = end
            del self._rest[:at]
            self.messages += whole
            self.ended = self.ended or any(message.letter == "X" for message in whole)
            self.server.changed.notify_all()
        return whole

    def _answer(self, message):
        data = self.server.answer(self, message)
        if data:
            try:
                self.send(data)
            except OSError:
                pass  # the peer has gone; the next receive says so


class ScriptedServer:
    """Listens on a port of its own. `answer` may be changed at any time."""

    def __init__(self, answer=None):
        self.answer = answer
        self.changed = threading.Condition()
        self.sessions = []
        self.cancels = []  # (pid, secret) of each CancelRequest
        self.ends_cancels = threading.Event()  # cleared: their connections stay open
        self.ends_cancels.set()
        self._connections = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.host, self.port = self._listener.getsockname()

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()
        for session in self.sessions:
            session.go_on()
        for connection in list(self._connections):
            connection.close()

    def wait_until(self, condition, what, timeout=DEADLINE_S):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {timeout} s: {what()}")
                self.changed.wait(left)

    def session(self, number):
        """The session with this number, once it has logged in."""
        self.wait_until(lambda: len(self.sessions) > number,
                        lambda: f"only {len(self.sessions)} sessions")
        return self.sessions[number]

    def wait_for_cancels(self, n):
        self.wait_until(lambda: len(self.cancels) >= n, lambda: f"only {len(self.cancels)} cancel requests")

    def n_open(self):
        return sum(not session.ended for session in self.sessions)

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection:
            try:
                session = self._let_in(connection)
            except OSError:
                return
            if session is not None:
                session.serve()

    def _let_in(self, connection):
        """The session of a connection that sends a startup packet; None for one that does not."""
        while True:
            head = exactly(connection, 8)
            if len(head) < 8:
                return None
            length, code = struct.unpack("!II", head)
            body = exactly(connection, length - 8)
            if code == SSL_REQUEST:
                connection.sendall(b"N")
            elif code == CANCEL_REQUEST:
                with self.changed:
                    self.cancels.append((struct.unpack("!I", body[:4])[0], body[4:]))
                    self.changed.notify_all()
                self.ends_cancels.wait(DEADLINE_S)
                return None
            else:
                return self._greet(connection)

    def _greet(self, connection):
        with self.changed:
            session = Session(self, connection, len(self.sessions))
            self.sessions.append(session)
            connection.sendall(greeting(session.pid))
            self.changed.notify_all()
        return session


def exactly(connection, n):
    """So many bytes, fewer only at the end of the connection."""
    data = b""
    while len(data) < n and (got := connection.recv(n - len(data))):
        data += got
    return data


# Messages of the server


def greeting(pid):
    parameters = b"".join(frame("S", string(name) + string(text)) for name, text in PARAMETERS.items())
    return (frame("R", struct.pack("!I", 0)) + parameters
            + frame("K", struct.pack("!I", pid) + b"key!") + ready("I"))


def ready(status):
    return frame("Z", status.encode())


def command_complete(tag):
    return frame("C", string(tag))


def row_description(*names):
    columns = b"".join(string(name) + struct.pack("!IHIhiH", 0, 0, 25, -1, -1, 0) for name in names)
    return frame("T", struct.pack("!H", len(names)) + columns)


def data_row(*values):
    fields = b"".join(struct.pack("!i", len(value)) + value for value in (str(v).encode() for v in values))
    return frame("D", struct.pack("!H", len(values)) + fields)


def error(sqlstate, text, severity="ERROR"):
    fields = {"S": severity, "V": severity, "C": sqlstate, "M": text}
    return frame("E", b"".join(string(name + field) for name, field in fields.items()) + b"\0")


def one_row(value):
    """The answer to a query with one row of one column, without the ReadyForQuery."""
    return row_description("value") + data_row(value) + command_complete("SELECT 1")


def answer_with_number(session, message):
    """Answers every simple query with the number of the session; transactions are not known."""
    return one_row(session.number) + ready("I") if message.letter == "Q" else b""
