"""What `./dev run` does after building: weir in front of a throw-away PostgreSQL, or of a given one.

Usage: run.py PROGRAM [--server HOST:PORT]. Stops on SIGINT, SIGTERM and SIGHUP and leaves nothing.
At a server of yours weir logs in as PGUSER with PGPASSWORD, and lets you in with the same.
"""

import argparse
import contextlib
import getpass
import os
import shlex
import sys

from postgres import Postgres
from process import StopSignals, free_port
from weir import Weir


def parse_server(text):
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, not {text}")
    return host.strip("[]"), int(port)


class Login:
    """Who may log in to weir, and to PostgreSQL behind it, with which password; None: without one."""

    def __init__(self, user, password, database):
        self.user = user
        self.password = password
        self.database = database

    def auth_type(self):
        return "scram-sha-256" if self.password is not None else "trust"

    def auth_file(self):
        secret = (self.password or "").replace('"', '""')
        return f'"{self.user}" "{secret}"\n'

    def command(self, program, port):
        password = f"PGPASSWORD={shlex.quote(self.password)} " if self.password is not None else ""
        return f"{password}{program} -h 127.0.0.1 -p {port} -U {self.user}"


def configuration(host, port, listen_port, login):
    return f'''weir = {{
    listen_addr = "127.0.0.1";
    listen_port = {listen_port};
    auth_type = "{login.auth_type()}";
    auth_file = "users";
    admin_users = "{login.user}";
}};
databases = ( {{ name = "*"; host = "{host}"; port = {port}; }} );
'''


def greeting(host, port, listen_port, login, is_ours):
    psql, pgbench = (login.command(program, listen_port) for program in ("psql", "pgbench"))
    commands = [f"{psql} {login.database}", f'{psql} -c "show pools" weir']
    if is_ours:
        commands += [f"{pgbench} -i {login.database}", f"{pgbench} -c 50 -T 10 {login.database}"]
    return "\n".join([f"weir accepts connections for the PostgreSQL at {host}:{port}:", "",
                      *(f"    {command}" for command in commands), "",
                      "Its configuration, beside which the file users holds name and password:", ""])


def run(program, server, signals):
    with contextlib.ExitStack() as stack:
        if server:
            host, port = server
            login = Login(os.environ.get("PGUSER") or getpass.getuser(), os.environ.get("PGPASSWORD"), "postgres")
        else:
            postgres = stack.enter_context(Postgres())
            host, port = postgres.host, postgres.port
            login = Login("app", postgres.passwords["app"], "app")
        listen_port = free_port()
        weir = stack.enter_context(Weir(program, configuration(host, port, listen_port, login), echo=sys.stderr,
                                        files={"users": login.auth_file()}))
        weir.wait_until_ready()
        print(greeting(host, port, listen_port, login, not server))
        print(weir.config)
        print("Ctrl-C stops everything.", flush=True)
        if signals.wait(weir.process):
            return 0
        print(f"weir ended with status {weir.process.wait()}", file=sys.stderr)
        return 1


def main():
    parser = argparse.ArgumentParser(prog="./dev run")
    parser.add_argument("program", help=argparse.SUPPRESS)
    parser.add_argument("--server", type=parse_server, metavar="HOST:PORT", help="a PostgreSQL of yours")
    arguments = parser.parse_args()
    return run(arguments.program, arguments.server, StopSignals())


if __name__ == "__main__":
    sys.exit(main())
