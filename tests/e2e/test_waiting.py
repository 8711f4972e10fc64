"""Nobody waits while a server is idle, and nobody waits much longer than the others.

Clients and servers are sockets of this one process, so it knows when each query was sent, when it came
to a server, and since when each server had been idle: between the two weir had both in its hands. What
came is stamped by the kernel, so it does not matter how late this process looks. A query comes with the
number of its client, and a server answers at once.

200 clients on 8 reactors send in waves; a wave is over when all are served. A wake-up that is lost leaves
a client waiting beside an idle server, and nobody comes to its rescue. In large waves many wait at once;
in the others the next client asks at the very moment a server has answered, so that giving back on one
reactor meets asking on another. In a single wave weir may take LIMIT_S for that, and whatever time its
threads stood ready without getting a CPU (/proc/PID/task/*/schedstat), which is the machine's doing.
"""

import collections
import random
import selectors
import socket
import struct
import time
import unittest

from crowd import cut
from message import startup
from pooling import Pooling, scaled
from proc import waited_for_a_cpu
from scripted_server import greeting, one_row, ready
from wire import CHUNK, DEADLINE_S, query

SO_TIMESTAMPNS = 35  # Linux; the module socket has no name for it
LIMIT_S = 0.020
N_CLIENTS = 200
N_WAVES = 20  # at least, however slow the machine is
ANSWER = one_row("") + ready("I")

Wait = collections.namedtuple("Wait", "since until")


def now():
    """Of the clock of the kernel's stamps."""
    return time.clock_gettime(time.CLOCK_REALTIME)


class Peer:
    """One end of a connection to weir."""

    def __init__(self, sock, number):
        self.socket = sock
        self.number = number  # among its kind
        self.buffer = bytearray()
        self.since = now()  # client: its query was sent; server: its last answer was sent
        self.logged_in = False
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def receive(self):
        """What has come whole, and when the last of it came."""
        data, stamps, _, _ = self.socket.recvmsg(CHUNK, 64)
        if not data:
            raise ConnectionError(f"weir closed a connection; unread: {self.buffer[:200]}")
        self.buffer += data
        seconds, nanoseconds = struct.unpack("qq", stamps[0][2][:16])
        return seconds + nanoseconds / 1e9

    def send(self, data):
        self.socket.sendall(data)
        self.since = now()


class World:
    """Clients and servers of one weir; turn() lets happen what is due."""

    def __init__(self):
        self.clients = []
        self.servers = []
        self.waits = []   # of the queries that have come to a server
        self.idles = []   # (since, until) of each server
        self.n_answers = 0
        self.followers = []  # clients of which one asks whenever a server answers
        self.followers_first = False
        self._selector = selectors.DefaultSelector()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        # Asked for now because the kernel takes a moment to begin with it.
        self._listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()
        self._selector.close()

    @property
    def entry(self):
        host, port = self._listener.getsockname()
        return {"name": "app", "host": host, "port": port}

    def turn(self):
        for key, _ in self._selector.select(DEADLINE_S) or self._hang():
            key.data()

    def _hang(self):
        raise AssertionError(f"nothing happened for {DEADLINE_S} s, {self.n_answers} answers had come")

    def turn_until(self, condition):
        while not condition():
            self.turn()

    def add_clients(self, port, n):
        for number in range(n):
            client = Peer(socket.create_connection(("127.0.0.1", port)), number)
            self.clients.append(client)
            self._selector.register(client.socket, selectors.EVENT_READ, lambda c=client: self._client_read(c))
            client.send(startup(user="app", database="app"))
        self.turn_until(lambda: all(client.logged_in for client in self.clients))

    def ask(self, number):
        self.clients[number].send(query(str(number)))

    def _client_read(self, client):
        client.receive()
        for message in cut(client.buffer):
            if message.letter == "E":
                raise AssertionError(message.fields())
            if message.letter == "Z":
                self.n_answers += client.logged_in
                if client.logged_in:
                    self.answered(client)
                client.logged_in = True

    def answered(self, client):
        """For who wants to go on with it."""

    def served(self, client):
        """For who wants to know that its query has come to a server."""

    def _accept(self):
        server = Peer(self._listener.accept()[0], len(self.servers))
        self._selector.register(server.socket, selectors.EVENT_READ, lambda: self._server_read(server))

    def _server_read(self, server):
        came = server.receive()
        if not server.logged_in:
            if len(server.buffer) == int.from_bytes(server.buffer[:4], "big"):
                server.buffer.clear()
                server.send(greeting(1 + server.number))
                server.logged_in = True
                self.servers.append(server)
            return
        for message in cut(server.buffer):
            client = self.clients[int(message.body[:-1])]
            self.waits.append(Wait(client.since, came))
            self.served(client)
            self.idles.append((server.since, came))
            self._answer(server)

    def _answer(self, server):
        steps = [lambda: server.send(ANSWER)]
        if self.followers:
            number = self.followers.pop()
            steps.insert(0 if self.followers_first else 1, lambda: self.ask(number))
        for step in steps:
            step()


def pooling(world, **keys):
    return Pooling([world.entry], secrets={"app": "secret"}, **keys)


def longest_beside_idle(waits, idles):
    """The longest time that one client waited and one server was idle, both without a break."""
    return max((min(wait.until, until) - max(wait.since, since)
                for wait in waits if wait.until - wait.since > LIMIT_S
                for since, until in idles if until - since > LIMIT_S), default=0)


class IdleServerTest(unittest.TestCase):
    def setUp(self):
        self.seed = random.randrange(1 << 32)
        self.random = random.Random(self.seed)

    def wave(self, world, weir, n_at_once):
        """All clients ask, so many at once and then one with each answer. Returns by how much the worst
        was over what is allowed."""
        world.waits, world.idles, world.n_answers = [], [], 0
        world.followers_first = self.random.random() < 0.5
        before = waited_for_a_cpu(weir.pid)
        numbers = self.random.sample(range(N_CLIENTS), N_CLIENTS)
        world.followers = numbers[n_at_once:]
        for number in numbers[:n_at_once]:
            world.ask(number)
        world.turn_until(lambda: world.n_answers == N_CLIENTS)
        end = max(wait.until for wait in world.waits)
        idles = world.idles + [(server.since, end) for server in world.servers]
        return longest_beside_idle(world.waits, idles) - LIMIT_S - (waited_for_a_cpu(weir.pid) - before)

    def run_waves(self, pool_size, seconds):
        world = World()
        with pooling(world, reactors=8, default_pool_size=pool_size) as weir, world:
            world.add_clients(weir.port, N_CLIENTS)
            while len(world.servers) < pool_size:
                self.wave(world, weir, N_CLIENTS)
            deadline = time.monotonic() + seconds
            n_waves = 0
            while time.monotonic() < deadline or n_waves < N_WAVES:
                n_at_once = self.random.choice((pool_size, pool_size, pool_size + 1, pool_size + 3, N_CLIENTS))
                late = self.wave(world, weir, n_at_once)
                self.assertLessEqual(late, 0, f"wave {n_waves} of {n_at_once} at once, seed {self.seed}")
                n_waves += 1
            self.assertEqual(len(world.servers), pool_size)

    def test_nobody_waits_beside_an_idle_server(self):
        for pool_size in (1, 2, 3):
            with self.subTest(pool_size=pool_size):
                self.run_waves(pool_size, scaled(3, 1.5, 20))


class Saturation(World):
    """Each client asks again as soon as it has its answer. `turns` tells of each query how many others
    came to the server while it waited."""

    def __init__(self):
        super().__init__()
        self.turns = []
        self._asked = [0] * N_CLIENTS  # how many had come to the server when the client asked

    def ask(self, number):
        self._asked[number] = len(self.waits)
        super().ask(number)

    def answered(self, client):
        self.ask(client.number)

    def served(self, client):
        self.turns.append(len(self.waits) - self._asked[client.number])


class FairnessTest(unittest.TestCase):
    def test_longest_wait(self):
        """In one queue everybody waits for about as long: the first to come is the first to be served.
        Time is counted in queries, because a machine that stands still makes everybody wait."""
        world = Saturation()
        with pooling(world, reactors=1, default_pool_size=1) as weir, world:
            world.add_clients(weir.port, N_CLIENTS)
            for number in range(N_CLIENTS):
                world.ask(number)
            world.turn_until(lambda: world.n_answers > 5 * N_CLIENTS)  # the queue has its usual length
            world.turns.clear()
            world.turn_until(lambda: len(world.turns) > N_CLIENTS * scaled(50, 20, 1000))
            mean = sum(world.turns) / len(world.turns)
            self.assertGreater(mean, N_CLIENTS / 2)
            self.assertLess(max(world.turns), 2.5 * mean)


if __name__ == "__main__":
    unittest.main()
