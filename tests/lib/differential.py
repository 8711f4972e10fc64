"""Plays one script to a server itself and again through weir: the answers must be the same bytes.

A script is a Sequence (subprojects/pgwire/tests/replies/sequence.py): messages, and lines with ! that
say what else happens. The server itself is asked message by message, with a Flush behind those of a
batch, until it waits for more (connection.py); that tells for each message how many others answer
it. Left out of the comparison are the process behind a notification, how far a COPY had come when
it was ended from outside, and in errors the rest of a statement's name behind 63 bytes, and which of
two names for the same statement is told.
"""

import contextlib
import fcntl
import os
import re
import socket
import struct
import termios
import threading
import time

import sequence
from connection import Connection
from message import frame, string
from record import FUNCTIONS, KEPT_BACK, TABLES
from wire import Client

DEADLINE_S = 20
# New files for the tables take longer than deleting a few rows.
CLEAN = """do $$ begin
    if pg_relation_size('t') + pg_relation_size('u') > 100000 then truncate t, u; end if;
    delete from t; delete from u;
end $$"""
GIVEN_UP = (b"messages behind a COPY that failed cannot be told from those in it",
            b"message type 69 of the server does not answer what was asked")


class Step:
    """Bytes to send, or what else is to happen (words), and what came of it."""

    def __init__(self, data=b"", flush=b"", words=()):
        self.data = data
        self.flush = flush  # behind the data, to bring out what the server would keep back
        self.words = list(words)
        self.messages = []
        self.ends = False   # the connection

    def __str__(self):
        return f"! {' '.join(self.words)}" if self.words else repr(self.data[:60])


class Difference(AssertionError):
    """The answers differ."""


class Undecided(Exception):
    """weir has given up, as rule 10 of reply accounting says (pgwire/reply.h). Or another error has
    come first: in a transaction that has failed, a statement that the server lacks cannot be parsed,
    while PostgreSQL would have looked for other faults of the message."""


def is_undecided(came, wanted):
    if came is None or came.letter != "E":
        return False
    aborted = b"C25P02\0" in came.body and wanted is not None and wanted.letter == "E"
    return (aborted and b"C25P02\0" not in wanted.body) or any(text in came.body for text in GIVEN_UP)


def shown(message):
    return f"{message.letter} {message.body[:200]!r}" if message else "end of the connection"


def comparable(message):
    """A message without what differs from one connection of the server to the next."""
    if message is None:
        return None
    body = message.body
    if message.letter == "A":
        body = body[4:]
    elif message.letter == "E" and b"C57P01\0" in body:
        body = re.sub(rb"line \d+", b"line", body)
    elif message.letter == "E" and b"statement " in body:
        body = re.sub(rb'"(.{63})[^"]*"', rb'"\1"', body)
        body = re.sub(rb'(C08P01.*statement )"(?!weir_)[^"]*"', rb"\1", body)
    return message.letter, body


class Server:
    """The server itself, with the tables and functions that scripts use."""

    def __init__(self, postgres, database="app"):
        self.where = {"folder": postgres.folder, "port": postgres.port, "user": "app",
                      "database": database, "password": postgres.passwords["app"]}
        with Connection(self.where) as owner:
            owner.query(TABLES)
        self.monitor = Connection(self.where | {"user": "postgres",
                                                "password": postgres.passwords["postgres"]})
        self.oids = {name: int(self.monitor.query(f"select '{name}'::regproc::oid")[0])
                     for name in FUNCTIONS}
        self._asked = {}
        self._connections = {}

    def clean(self):
        self.monitor.query(CLEAN)

    def terminate(self, pid=None):
        """Ends one backend, or all of the user app, and returns when they are gone."""
        which = "usename = 'app'" if pid is None else f"pid = {pid}"
        self.monitor.query(f"select pg_terminate_backend(pid, 5000) from pg_stat_activity where {which}")

    def act(self, words):
        """What a line with ! says, apart from ending a backend."""
        if words[0] == "timeout":
            self.monitor.query("select pg_sleep(0.4)")
        elif words[0] == "notify":
            self.monitor.query(f"notify {words[1]}")

    def ask(self, script):
        """The steps of a script with the answers of the server itself."""
        if script.name not in self._asked:
            self.clean()
            with Connection(self.where, self.monitor) as connection:
                self._asked[script.name] = self._ask(script, connection)
        return self._asked[script.name]

    def hold(self, sends, settings):
        """The steps of a conversation (grammar.py) with the answers of the server itself."""
        self.clean()
        connection = self._connection(settings)
        steps = []
        for messages in sends:
            flush = b"" if messages[-1][0] in "SQF" else frame("H")
            step = Step(b"".join(sequence.encoded(message, self.oids) for message in messages), flush)
            connection.send(step.data + step.flush)
            step.messages = connection.settle()
            step.ends = connection.ended
            steps.append(step)
            if step.ends:
                break
        connection.send(b"".join(frame("Q", string(sql)) for sql in ("rollback", "discard all")))
        connection.settle()
        return steps

    def _connection(self, settings):
        """One that came with these settings, and is as new."""
        connection = self._connections.get(repr(settings))
        if connection is None or connection.ended:
            connection = Connection(self.where | {"settings": settings}, self.monitor)
            self._connections[repr(settings)] = connection
        return connection

    def _ask(self, script, connection):
        steps = []
        for message, following in zip(script.messages, script.messages[1:] + [[]]):
            if message[0] == "!":
                step = Step(words=message[1:])
                step.messages += self._happening(connection, step.words)
            else:
                flush = frame("H") if message[0] in KEPT_BACK else b""
                step = Step(sequence.encoded(message, self.oids), flush)
                connection.send(step.data + step.flush)
            if following[:2] != ["!", "pause"]:
                step.messages += connection.settle()
            elif message[0] != "!":
                step.messages += connection.wait_for("Z")
            step.ends = connection.ended
            steps.append(step)
            if step.ends:
                break
        return steps

    def _happening(self, connection, words):
        if words[0] == "pause":
            return connection.wait_for(words[1])
        if words[0] == "terminate":
            self.terminate(connection.pid)
            return connection.wait_for("E")
        self.act(words)
        return []


def joined(steps):
    """The same with all that is between two happenings in one send."""
    whole = []
    for step in steps:
        if step.words or not whole or whole[-1].words:
            whole.append(Step(words=step.words))
        # Without the Flush the server would forget what it keeps back.
        whole[-1].data += frame("H") + step.data if step.data == frame("X") else step.data
        whole[-1].flush = step.flush
        whole[-1].messages += step.messages
        whole[-1].ends = step.ends
    return whole


def expect(client, wanted, where):
    """The next messages must be these."""
    for number, message in enumerate(wanted):
        try:
            came = client.read(DEADLINE_S)
        except TimeoutError:
            raise Difference(f"{where}: answer {number}: nothing comes, not {shown(message)}") from None
        if is_undecided(came, message):
            raise Undecided
        if comparable(came) != comparable(message):
            raise Difference(f"{where}: answer {number}: {shown(came)}, not {shown(message)}")


def play(server, client, steps, send=Client.send_all_it_takes, other=lambda status: None):
    """Plays the steps to `client`, sent by send(client, data), and compares. other(status) is called
    behind each ReadyForQuery that ends a step."""
    server.clean()
    for number, step in enumerate(steps):
        where = f"step {number}, {step}"
        if step.words == ["terminate"]:
            server.terminate()
        elif step.words:
            server.act(step.words)
        else:
            send(client, step.data + step.flush)
        expect(client, step.messages + [None] * step.ends, where)
        if step.messages and step.messages[-1].letter == "Z":
            other(step.messages[-1].body.decode())


# Bytes one by one


def send_in_bytes(client, data):
    pass_in_bytes(client.socket, data)


def pass_in_bytes(sock, data):
    """Sends byte by byte, each when the one before has been read: a Unix socket can tell."""
    deadline = time.monotonic() + DEADLINE_S
    for at in range(len(data)):
        try:
            sock.sendall(data[at:at + 1])
            while struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"byte {at} of {len(data)} is not read")
                time.sleep(0)
        except (BrokenPipeError, ConnectionResetError):
            return


class Chopper:
    """A server for weir that hands everything on to a PostgreSQL, and its answers byte by byte."""

    def __init__(self, postgres, folder):
        self.passwords = postgres.passwords
        self.host, self.port = folder, 1
        self._behind = f"{postgres.folder}/.s.PGSQL.{postgres.port}"
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(f"{folder}/.s.PGSQL.1")
        os.chmod(f"{folder}/.s.PGSQL.1", 0o777)
        self._listener.listen(64)

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.close()

    def _accept(self):
        while True:
            try:
                front, _ = self._listener.accept()
            except OSError:
                return
            back = socket.socket(socket.AF_UNIX)
            back.connect(self._behind)
            threading.Thread(target=self._pass_on, args=(front, back), daemon=True).start()
            threading.Thread(target=self._answer, args=(back, front), daemon=True).start()

    @staticmethod
    def _pass_on(front, back):
        try:
            while data := front.recv(65536):
                back.sendall(data)
            back.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has gone, but what it has said is still to be handed on

    @staticmethod
    def _answer(back, front):
        with back, front:
            with contextlib.suppress(OSError):
                while data := back.recv(65536):
                    pass_in_bytes(front, data)
            with contextlib.suppress(OSError):
                front.shutdown(socket.SHUT_RDWR)  # the other thread may be receiving from it
