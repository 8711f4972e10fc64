"""weir in front of a server, with clients that it lets in without asking.

WEIR names the program, WEIR_ENGINE and WEIR_REACTORS what it runs with.
"""

import os

from process import free_port
from weir import Weir
from wire import Client

PROGRAM = os.environ["WEIR"]
SANITIZER = os.environ.get("WEIR_SANITIZER", "none")
# TSan does not see what the kernel does.
ENGINE = "epoll" if SANITIZER == "thread" else os.environ.get("WEIR_ENGINE", "auto")
REACTORS = int(os.environ.get("WEIR_REACTORS", "1"))
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


class Relay(Weir):
    """In front of `server`, a Postgres or a ScriptedServer; further keys are those of the part `weir`
    of the configuration. Clients come by TCP."""

    def __init__(self, server, pool_size=1, **keys):
        self.server = server
        self.keys = {"listen_addr": "127.0.0.1", "engine": ENGINE, "reactors": REACTORS,
                     "auth_type": "trust", "default_pool_size": pool_size,
                     "server_login_retry": "100ms"} | keys
        super().__init__(PROGRAM, self.configuration(free_port()))

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
                self.__exit__(None, None, None)
                if not (isinstance(error, AssertionError) and "in use" in str(error)):
                    raise
                self.config = self.configuration(free_port())
        raise RuntimeError(f"no free port in {TRIES} tries")

    def connect(self):
        return Client(self.address)

    def client(self, **parameters):
        """A client that has logged in."""
        client = self.connect()
        try:
            return client.log_in("app", "app", **parameters)
        except BaseException:
            client.close()
            raise
