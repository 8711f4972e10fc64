"""What `./dev run` does after building: weir in front of a throw-away PostgreSQL, or of a given one.

Usage: run.py PROGRAM [--server HOST:PORT]. Stops on SIGINT, SIGTERM and SIGHUP and leaves nothing.
"""

import argparse
import contextlib
import sys

from postgres import Postgres
from process import StopSignals, free_port
from weir import Weir


def parse_server(text):
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isdigit():
        raise argparse.ArgumentTypeError(f"HOST:PORT is wanted, not {text}")
    return host.strip("[]"), int(port)


def configuration(host, port, listen_port):
    return f'''weir = {{
    listen_addr = "127.0.0.1";
    listen_port = {listen_port};
}};
databases = ( {{ name = "*"; host = "{host}"; port = {port}; }} );
'''


def greeting(host, port, postgres):
    if postgres is None:
        return f"Your PostgreSQL is expected at {host}:{port}."
    login = f"PGPASSWORD={postgres.passwords['app']} psql -h {host} -p {port} -U app app"
    return f"PostgreSQL accepts connections:\n\n    {login}\n"


def run(program, server, signals):
    with contextlib.ExitStack() as stack:
        postgres = None if server else stack.enter_context(Postgres())
        host, port = server or (postgres.host, postgres.port)
        weir = stack.enter_context(Weir(program, configuration(host, port, free_port()), echo=sys.stderr))
        weir.wait_until_ready()
        print(greeting(host, port, postgres))
        print("weir runs with the configuration below but does not relay connections yet.\n")
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
