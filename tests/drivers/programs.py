"""The drivers: how each is fetched from its registry, built and run.

What is made lies in the folder `build-drivers`, for all build folders at once, and is made again when
something in the driver's folder has changed."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))


class LeftOut(Exception):
    """Why a driver cannot be had here."""


class Driver:
    """`tools` are the programs that it takes, `fetch` and `build` commands that run in `home`, which
    may ask the network and may not. In commands and variables, {source} is the driver's folder, {made}
    the one for what is built, and {lib} what drivers share. `lacks` are kinds of operations that the
    driver has no way to do."""

    def __init__(self, name, tools, run, fetch=(), build=(), variables=None, lacks=()):
        self.name = name
        self.lacks = lacks
        self._tools = tools
        self._fetch = fetch
        self._build = build
        self._run = run
        self._variables = variables or {}
        self._places = {"source": os.path.join(HERE, name), "lib": os.path.join(HERE, "lib"),
                        "made": os.path.join(TOP, "build-drivers", name), "python": sys.executable}

    def _placed(self, word):
        return word.format(**self._places)

    def command(self):
        return [self._placed(word) for word in self._run]

    def environment(self):
        return {name: self._placed(value) for name, value in self._variables.items()}

    def _digest(self):
        """Of all that the program is made of."""
        digest = hashlib.sha256(repr((self._fetch, self._build)).encode())
        for top in (self._places["source"], self._places["lib"]):
            for folder, folders, files in os.walk(top):
                folders[:] = sorted(name for name in folders if name != "__pycache__")
                for name in sorted(files):
                    with open(os.path.join(folder, name), "rb") as file:
                        digest.update(name.encode() + b"\0" + file.read())
        return digest.hexdigest()

    def _do(self, commands):
        for command in commands:
            done = subprocess.run([self._placed(word) for word in command], cwd=self._places["source"],
                                  env=os.environ | self.environment(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"{self.name}: {' '.join(command)} ended with {done.returncode}:\n{done.stdout}")

    def prepare(self):
        """LeftOut if a tool is not here or, but in CI, if the registry does not answer."""
        for tool in self._tools:
            if shutil.which(tool) is None:
                raise LeftOut(f"no {tool} on this machine")
        made = self._places["made"]
        os.makedirs(made, exist_ok=True)
        with open(os.path.join(made, "lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            mark = os.path.join(made, "digest")
            with contextlib.suppress(FileNotFoundError), open(mark, encoding="ascii") as file:
                if file.read() == self._digest():
                    return
            try:
                self._do(self._fetch)
            except RuntimeError as error:
                if os.environ.get("CI") == "true":
                    raise
                raise LeftOut(f"it could not be fetched: {error}") from error
            self._do(self._build)
            with open(mark, "w", encoding="ascii") as file:
                file.write(self._digest())


def node(name, **more):
    return Driver(name, tools=["node", "npm"], run=["node", "--no-deprecation", "{source}/main.js"],
                  fetch=[["cp", "package.json", "package-lock.json", "{made}"],
                         ["npm", "ci", "--prefix", "{made}", "--no-audit", "--no-fund"]],
                  variables={"NODE_PATH": "{made}/node_modules"}, **more)


def python(name, **more):
    return Driver(name, tools=[], run=["{python}", "{source}/main.py"],
                  fetch=[["rm", "-rf", "{made}/site"],
                         ["{python}", "-m", "pip", "install", "-q", "--require-hashes", "--only-binary", ":all:",
                          "--no-deps", "--target", "{made}/site", "-r", "requirements.txt"]],
                  variables={"PYTHONPATH": "{made}/site:{lib}"}, **more)


def go(name, **more):
    return Driver(name, tools=["go"], run=["{made}/program"], fetch=[["go", "mod", "download"]],
                  build=[["go", "build", "-mod=readonly", "-ldflags=-s -w", "-o", "{made}/program", "."]],
                  variables={"CGO_ENABLED": "0", "GOTOOLCHAIN": "local"}, **more)


DRIVERS = [
    node("pg", lacks=["copy"]),
    node("postgresjs"),
    python("psycopg"),
    python("asyncpg"),
    go("pgx"),
    go("pq"),
    Driver("tokio-postgres", tools=["cargo"], run=["{made}/debug/tokio-postgres-driver"],
           fetch=[["cargo", "fetch", "-q", "--locked"]],
           build=[["cargo", "build", "-q", "--offline", "--locked"]], variables={"CARGO_TARGET_DIR": "{made}"}),
    # A quick start and little memory are worth more here than speed later on.
    Driver("pgjdbc", tools=["mvn", "java", "javac"],
           run=["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", "{made}/classes:{made}/jars/*", "Main"],
           fetch=[["rm", "-rf", "{made}/jars", "{made}/classes"],
                  ["mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime",
                   "-DoutputDirectory={made}/jars"]],
           build=[["javac", "-Xlint:all", "-Werror", "-d", "{made}/classes", "-cp", "{made}/jars/*",
                   "Main.java", "Mixed.java"]]),
]
