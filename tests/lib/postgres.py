"""A throw-away PostgreSQL: own folder, own free port, SCRAM passwords, an unprivileged user.

    with Postgres() as postgres:
        postgres.psql("select 1")

As a program it runs until SIGINT or SIGTERM and prints how to connect: postgres.py [OPTION=VALUE ...]

To make one takes a second, to copy one does not: postgres.py --template FOLDER leaves one in an empty
folder, and where WEIR_POSTGRES names that, all are copies, passwords included.
"""

import contextlib
import glob
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys

from process import (UNPRIVILEGED, Process, StopSignals, free_port, temporary_folder, unprivileged,
                     write_file)

# Nothing here outlives the folder, so nothing needs to be written safely.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}


TEMPLATE = os.environ.get("WEIR_POSTGRES")


def binary(name):
    """Debian keeps server programs out of PATH, one folder a version: 15 if there, else the newest."""
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"),
                   key=lambda path: (path.split("/")[4] == "15", path))
    if not found:
        raise FileNotFoundError(f"no {name} of PostgreSQL: install postgresql-15")
    return found[-1]


class Postgres:
    """The superuser is postgres, the ordinary user app, who owns the database app."""

    def __init__(self, template=TEMPLATE, **settings):
        self.template = template
        self.settings = SETTINGS | settings
        self.passwords = read_passwords(template) if template else {
            user: secrets.token_hex(8) for user in ("postgres", "app")}
        self.host = "127.0.0.1"
        self.port = None
        self.process = None

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            # Beside the template, which may have been put in memory.
            self.folder = stack.enter_context(temporary_folder(self.template and os.path.dirname(self.template)))
            if self.template:
                copy_data(self.template, self.folder)
            else:
                self._create()
            self._start()
            stack.callback(self._stop)
            if not self.template:
                self._populate()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self._stack.close()

    @property
    def data(self):
        return os.path.join(self.folder, "data")

    def _create(self):
        password_file = write_file(os.path.join(self.folder, "password"), self.passwords["postgres"])
        made = subprocess.run(
            unprivileged([binary("initdb"), "-D", self.data, "-U", "postgres", "--pwfile", password_file,
                          "-A", "scram-sha-256", "-E", "UTF8", "--locale=C.UTF-8",
                          "--no-sync", "--no-instructions"]),
            cwd="/", capture_output=True, text=True, check=False, start_new_session=True)
        os.unlink(password_file)
        if made.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{made.stdout}{made.stderr}")

    def _populate(self):
        for sql in (f"create role app login password '{self.passwords['app']}'",
                    "create database app owner app"):
            self.psql(sql, user="postgres", database="postgres")

    def _start(self, tries=5):
        self.port = free_port()
        try:
            self._run()
        except BaseException:
            if tries == 0 or "could not bind" not in self.process.output():
                raise
            self._start(tries - 1)

    def _run(self):
        settings = self.settings | {"port": self.port, "unix_socket_directories": self.folder}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self.process = Process(unprivileged([binary("postgres"), "-D", self.data, *options], "INT"))
        try:
            self.process.wait_for("database system is ready to accept connections", timeout=60)
        except BaseException:
            self.process.kill()
            raise

    @contextlib.contextmanager
    def stopped(self):
        """Not running within the `with` block, and there again behind it, at the same port."""
        self._stop()
        try:
            yield
        finally:
            self._run()

    def _stop(self):
        with self.process:
            if self.process.child.poll() is None:
                self.process.stop(signal.SIGINT)

    def psql_command(self, user="app", database="app"):
        return ["psql", "-X", "-h", self.host, "-p", str(self.port), "-U", user, database]

    def environment(self, user="app"):
        return os.environ | {"PGPASSWORD": self.passwords[user]}

    def psql(self, sql, user="app", database="app"):
        """Runs sql and returns its output: bare values, columns split by |."""
        done = subprocess.run(
            [*self.psql_command(user, database), "-v", "ON_ERROR_STOP=1", "-qAtc", sql],
            env=self.environment(user), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"psql failed: {sql}\n{done.stderr}")
        return done.stdout.strip()


def read_passwords(folder):
    with open(os.path.join(folder, "passwords"), encoding="utf-8") as file:
        return json.load(file)


def copy_data(source, target):
    subprocess.run(unprivileged(["cp", "-a", os.path.join(source, "data"), target]), check=True)


def make_template(folder):
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    with Postgres(template=None) as postgres, postgres.stopped():
        copy_data(postgres.folder, folder)
        write_file(os.path.join(folder, "passwords"), json.dumps(postgres.passwords))


def main():
    if sys.argv[1:2] == ["--template"]:
        make_template(sys.argv[2])
        return
    signals = StopSignals()
    with Postgres(**dict(word.split("=", 1) for word in sys.argv[1:])) as postgres:
        print(f"PGPASSWORD={postgres.passwords['app']}", *postgres.psql_command(), flush=True)
        signals.wait()


if __name__ == "__main__":
    main()
