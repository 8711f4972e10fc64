"""weir in front of a server, with clients that it lets in without asking.

WEIR names the program, WEIR_ENGINE and WEIR_REACTORS what it runs with. With WEIR_SHARE=N long
tables of tests are run to one part in N; WEIR_SOAK=1 runs all of everything.
"""

import os
import unittest

from process import free_port
from weir import Weir
from wire import Client

PROGRAM = os.environ["WEIR"]
SANITIZER = os.environ.get("WEIR_SANITIZER", "none")
# TSan does not see what the kernel does.
ENGINE = "epoll" if SANITIZER == "thread" else os.environ.get("WEIR_ENGINE", "auto")
REACTORS = int(os.environ.get("WEIR_REACTORS", "1"))
SHARE = int(os.environ.get("WEIR_SHARE", "1"))
SOAK = os.environ.get("WEIR_SOAK") == "1"
TRIES = 5


def text_of(value):
    """A value as the configuration writes it; a dictionary is a group."""
    if isinstance(value, dict):
        return group(value)
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def group(keys):
    return "{ " + " ".join(f"{key} = {text_of(value)};" for key, value in keys.items()) + " }"


def ask(postgres, sql, database="postgres"):
    """As the superuser of a server, past weir: the first column of the answer."""
    with Client((postgres.host, postgres.port)) as client:
        client.log_in("postgres", database, postgres.passwords["postgres"])
        answer = client.query(sql)
    if answer.errors:
        raise answer.errors[0]
    return [row[0] for row in answer.rows]


class Relay(Weir):
    """In front of `server`, a Postgres or a ScriptedServer; further keys are those of the part `weir`
    of the configuration. Clients come by TCP. The end of the `with` block is a graceful stop, which
    must succeed: a sanitizer that has found something makes it fail."""

    def __init__(self, server, pool_size=1, **keys):
        self.server = server
        self.keys = {"listen_addr": "127.0.0.1", "engine": ENGINE, "reactors": REACTORS,
                     "auth_type": "trust", "auth_file": "users", "stats_users": "app", "default_pool_size": pool_size,
                     "server_login_retry": "100ms", "shutdown_timeout": "5s"} | keys
        super().__init__(PROGRAM, self.configuration(free_port()), files={"users": '"app" ""\n'})

    def configuration(self, port):
        database = {"name": "*", "host": self.server.host, "port": self.server.port}
        if hasattr(self.server, "passwords"):
            database["password"] = self.server.passwords["app"]
        self.address = ("127.0.0.1", port)
        keys = group(self.keys | {"listen_port": port})
        return f"weir = {keys};\ndatabases = ( {group(database)} );\n"

    def __enter__(self):
        for _ in range(TRIES):
            super().__enter__()
            try:
                self.wait_until_ready()
                return self
            except BaseException as error:
                super().__exit__(None, None, None)
                if not (isinstance(error, AssertionError) and "in use" in str(error)):
                    raise
                self.config = self.configuration(free_port())
        raise RuntimeError(f"no free port in {TRIES} tries")

    def __exit__(self, *_):
        with self._stack:
            status = self.process.child.poll()
            if status is None:
                status = self.process.stop()
            if status != 0:
                raise AssertionError(f"weir ended with {status}:\n{self.process.output()}")

    def connect(self):
        return Client(self.address)

    def client(self, database="app", **parameters):
        """A client that has logged in."""
        client = self.connect()
        try:
            return client.log_in("app", database, **parameters)
        except BaseException:
            client.close()
            raise

    def show(self, what):
        """The rows of a SHOW of the console, as dictionaries."""
        with self.connect() as console:
            answer = console.log_in("app", "weir").query(f"show {what}")
        return [dict(zip(answer.names, row)) for row in answer.rows]

    def n_waiting(self):
        """Clients that wait for a server."""
        return sum(int(pool["cl_waiting"]) for pool in self.show("pools"))


class RelayCase(unittest.TestCase):
    """A relay for each test, and clients that last as long."""

    def relay(self, server, **options):
        self.weir = self.enterContext(Relay(server, **options))
        return self.weir

    def client(self, **parameters):
        return self.enterContext(self.weir.client(**parameters))

    def clients(self, n):
        return [self.client() for _ in range(n)]
