"""weir with whatever databases, users and secrets a test wants."""

import os

from process import free_port
from relay import ENGINE, PROGRAM, SANITIZER, SOAK, Relay, group
from weir import Weir


# Put in front of the daemon: it does without whatever Linux 6.1 lacks.
PROFILE_6_1 = ("env", "WEIR_IO_PROFILE=6.1")


def scaled(plain, sanitized, soak):
    """How much of something a test does: in the plain build, under a sanitizer, in a long run."""
    if SOAK:
        return soak
    return plain if SANITIZER == "none" else sanitized


def database(postgres, name="app", **settings):
    """An entry of databases that leads to a database of this PostgreSQL."""
    return {"name": name, "host": postgres.host, "port": postgres.port} | settings


def auth_file(secrets):
    """The text of an auth file from {user: secret}."""
    def quoted(word):
        return '"' + word.replace('"', '""') + '"'
    return "".join(f"{quoted(user)} {quoted(secret)}\n" for user, secret in secrets.items())


class Pooling(Relay):
    """Ready for clients when the `with` block begins, and must end well when it is left. `databases`
    and `users` are lists of dictionaries, `secrets` is {user: secret}; other keywords are keys of
    the group weir."""

    def __init__(self, databases, users=(), secrets=None, prefix=(), **keys):
        self.keys = {"engine": ENGINE, "reactors": 2, "auth_type": "trust", "auth_file": "users.txt",
                     "log_connections": False, "log_disconnections": False, "stats_users": "stats"} | keys
        self.lists = {"databases": databases, "users": users}
        Weir.__init__(self, PROGRAM, self.configuration(free_port()), prefix=prefix,
                      files={"users.txt": auth_file(secrets or {})})

    def configuration(self, port):
        self.port = port
        self.address = ("127.0.0.1", port)
        return f"weir = {group(self.keys | {'listen_port': port})};\n" + "".join(
            f"{name} = ( {', '.join(map(group, entries))} );\n" for name, entries in self.lists.items() if entries)

    def __enter__(self):
        self.is_ready = False
        super().__enter__()
        self.is_ready = True
        return self

    def __exit__(self, failure, *_):
        with self._stack:
            if failure is not None:
                self.process.kill()  # clients may be left that a stop would wait for
                return
            status = self.process.child.poll()
            if status is None:
                status = self.process.stop()
            if self.is_ready and status != 0:
                raise AssertionError(f"weir ended with {status}:\n{self.process.output()}")

    @property
    def pid(self):
        return self.process.pid

    def environment(self, postgres, user="app"):
        """For psql and pgbench: as this user through weir."""
        return os.environ | {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": user,
                             "PGDATABASE": "app", "PGPASSWORD": postgres.passwords[user]}
