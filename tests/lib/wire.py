"""A client that speaks the protocol message by message, to weir or to a server itself.

    with Client((host, port)) as client:
        client.log_in("app", "app", password)
        client.send(query("select 1"))
        client.read_until("Z")

Whatever it waits for has a deadline. Builders of messages stand below the client; message.py is
pgwire's (subprojects/pgwire/tests/replies).
"""

import hashlib
import socket
import struct
import time

from message import Message, frame, scram_answers, startup, string

DEADLINE_S = 20
CHUNK = 1 << 18


class ServerError(Exception):
    """An ErrorResponse where none was expected."""

    def __init__(self, message):
        self.fields = message.fields()
        self.sqlstate = self.fields["C"]
        super().__init__(f"{self.fields['S']} {self.sqlstate}: {self.fields['M']}")


class Answer:
    """What came for one simple query, up to its ReadyForQuery or to the end of the connection."""

    def __init__(self, messages):
        self.messages = messages
        self.names = [name for message in messages if message.letter == "T" for name in names_of(message.body)]
        self.rows = [row_of(message.body) for message in messages if message.letter == "D"]
        self.tags = [message.body[:-1].decode() for message in messages if message.letter == "C"]
        self.errors = [ServerError(message) for message in messages if message.letter == "E"]
        is_whole = bool(messages) and messages[-1].letter == "Z"
        self.status = messages[-1].body.decode() if is_whole else None

    @property
    def sqlstate(self):
        """That of the first error, None if there was none."""
        return self.errors[0].sqlstate if self.errors else None

    @property
    def value(self):
        """The first column of the first row; raises the error if there was one."""
        if self.errors:
            raise self.errors[0]
        return self.rows[0][0]


def names_of(body):
    """The columns of a RowDescription."""
    names, at = [], 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode())
        at = end + 19
    return names


def row_of(body):
    """The values of a DataRow in text format."""
    values, at = [], 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if length < 0 else body[at:at + length].decode(errors="replace"))
        at += max(length, 0)
    return tuple(values)


def md5_answer(user, password, salt):
    """What AuthenticationMD5Password asks for."""
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


class Client:
    """One connection. `address` is (host, port) or the path of a Unix socket."""

    def __init__(self, address):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.address = address
        self.socket = socket.socket(family)
        self.socket.settimeout(DEADLINE_S)
        try:
            self.socket.connect(address)
        except BaseException:
            self.socket.close()
            raise
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parameters = {}
        self.pid = self.secret = None
        self._bytes = bytearray()
        self._at = 0  # where the first unread message begins

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    # Login

    def log_in(self, user, database, password=None, **parameters):
        """Up to the first ReadyForQuery; a refusal is raised."""
        self.send(startup(user=user, database=database, **parameters))
        while True:
            message = self.read()
            if message is None:
                raise EOFError("closed during the login")
            if message.letter == "E":
                raise ServerError(message)
            if message.letter == "R":
                self._authenticate(message.body, user, password)
            elif message.letter == "S":
                name, value = message.body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif message.letter == "K":
                self.pid, self.secret = struct.unpack("!I", message.body[:4])[0], message.body[4:]
            elif message.letter == "Z":
                return self

    def _authenticate(self, body, user, password):
        kind = struct.unpack_from("!I", body)[0]
        if kind == 3:
            self.send(frame("p", string(password)))
        elif kind == 5:
            self.send(frame("p", string(md5_answer(user, password, body[4:8]))))
        elif kind == 10:
            scram_answers(password, self._challenge)

    def _challenge(self, answer):
        self.send(frame("p", answer))
        message = self.read()
        if message.letter == "E":
            raise ServerError(message)
        return message.body[4:]

    # Sending

    def send(self, *data):
        self.socket.sendall(b"".join(data))

    def send_all_it_takes(self, data):
        """Sends to one that may end the connection before it has taken everything."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection by RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # Receiving

    def _fill(self, timeout):
        """Takes in more bytes; false at the end of the connection."""
        self.socket.settimeout(max(timeout, 0.001))
        try:
            got = self.socket.recv(CHUNK)
        except ConnectionResetError:
            got = b""
        finally:
            self.socket.settimeout(DEADLINE_S)
        if self._at > CHUNK:
            del self._bytes[:self._at]
            self._at = 0
        self._bytes += got
        return bool(got)

    def _cut(self):
        """The next whole message among the bytes received, or None."""
        if len(self._bytes) - self._at < 5:
            return None
        letter, length = struct.unpack_from("!cI", self._bytes, self._at)
        end = self._at + 1 + length
        if len(self._bytes) < end:
            return None
        message = Message(letter.decode("latin-1"), bytes(self._bytes[self._at + 5:end]))
        self._at = end
        return message

    def read(self, timeout=DEADLINE_S):
        """The next message; None at the end of the connection; TimeoutError if none comes."""
        deadline = time.monotonic() + timeout
        while True:
            message = self._cut()
            if message is not None:
                return message
            if not self._fill(deadline - time.monotonic()):
                if len(self._bytes) != self._at:
                    raise EOFError(f"ended within a message: {bytes(self._bytes[self._at:])[:100]}")
                return None

    def read_until(self, letters, timeout=DEADLINE_S):
        """The messages up to the first with one of these letters; an error if it does not come."""
        deadline = time.monotonic() + timeout
        messages = []
        while not messages or messages[-1].letter not in letters:
            message = self.read(deadline - time.monotonic())
            if message is None:
                raise EOFError(f"no {letters} came, only {[m.letter for m in messages]}")
            messages.append(message)
        return messages

    def read_to_end(self, timeout=DEADLINE_S):
        """The messages up to the end of the connection."""
        deadline = time.monotonic() + timeout
        messages = []
        while (message := self.read(deadline - time.monotonic())) is not None:
            messages.append(message)
        return messages

    def has_nothing(self):
        """True if the connection is open and nothing has come that was not read."""
        self.socket.setblocking(False)
        try:
            got = self.socket.recv(CHUNK)
        except BlockingIOError:
            return len(self._bytes) == self._at
        finally:
            self.socket.settimeout(DEADLINE_S)
        self._bytes += got
        return False

    def n_unread(self):
        """How many bytes have come and were not read."""
        self.has_nothing()
        return len(self._bytes) - self._at

    # Both

    def answer(self, timeout=DEADLINE_S):
        """Of a query that was sent; one that is cut off by the end of the connection counts too."""
        deadline = time.monotonic() + timeout
        messages = []
        while not messages or messages[-1].letter != "Z":
            message = self.read(deadline - time.monotonic())
            if message is None:
                break
            messages.append(message)
        return Answer(messages)

    def query(self, sql, timeout=DEADLINE_S):
        self.send(query(sql))
        return self.answer(timeout)

    def value(self, sql, timeout=DEADLINE_S):
        return self.query(sql, timeout).value

    def cancel(self):
        """Asks that what this connection is doing be stopped, and waits until the asking is over."""
        with Client(self.address) as other:
            other.send(struct.pack("!III", 12 + len(self.secret), 80877102, self.pid), self.secret)
            other.read_to_end()


# Messages of the client

SYNC = frame("S")
FLUSH = frame("H")
COPY_DONE = frame("c")
TERMINATE = frame("X")


def query(sql):
    return frame("Q", string(sql))


def parse(sql, name="", types=()):
    return frame("P", string(name) + string(sql) + counted(types, "!I"))


def bind(*values, portal="", name="", formats=(), results=()):
    """Values are bytes, text or None; formats and results are 0 for text, 1 for binary."""
    body = string(portal) + string(name) + counted(formats, "!H") + struct.pack("!H", len(values))
    return frame("B", body + b"".join(map(value, values)) + counted(results, "!H"))


def describe(kind="P", name=""):
    return frame("D", kind.encode() + string(name))


def execute(portal="", rows=0):
    return frame("E", string(portal) + struct.pack("!I", rows))


def close(kind, name=""):
    return frame("C", kind.encode() + string(name))


def copy_data(data):
    return frame("d", data.encode() if isinstance(data, str) else data)


def copy_fail(why="stop"):
    return frame("f", string(why))


def function_call(oid, *values, formats=(), result=0):
    return frame("F", struct.pack("!I", oid) + counted(formats, "!H") + struct.pack("!H", len(values))
                 + b"".join(map(value, values)) + struct.pack("!H", result))


def batch(sql, *values):
    """Parse, Bind and Execute of an unnamed statement, without a Sync."""
    return parse(sql) + bind(*values) + execute()


def counted(numbers, form):
    return struct.pack("!H", len(numbers)) + b"".join(struct.pack(form, n) for n in numbers)


def value(data):
    if data is None:
        return struct.pack("!i", -1)
    data = data.encode() if isinstance(data, str) else data
    return struct.pack("!i", len(data)) + data
