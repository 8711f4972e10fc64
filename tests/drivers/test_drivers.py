"""Drivers of other languages with their defaults, all at once through one weir, each with 20
connections on its own pool of 2 servers: no unexpected error. README.md says what they do.

WEIR_DRIVERS names those to run (all), WEIR_SEED the seed (1). With WEIR_DIRECT=1 they go to PostgreSQL
itself: what fails there, too, is no fault of weir's."""

import concurrent.futures
import contextlib
import os
import subprocess
import time
import unittest

from pooling import Pooling, database, scaled
from postgres import Postgres
from process import Process
from programs import DRIVERS, HERE, LeftOut

SEED = int(os.environ.get("WEIR_SEED", "1"))
SECONDS = scaled(10, 5, 60)
CONNECTIONS = 20
DIRECT = os.environ.get("WEIR_DIRECT") == "1"
# How often a kind of operation is drawn.
MIX = {"select": 30, "transaction": 15, "rollback": 8, "error": 10, "batch": 8, "prepared": 10, "reconnect": 2,
       "settings": 5, "large": 1, "copy": 3, "cursor": 4, "cancel": 2, "reset": 3}


def prepared(driver):
    """None, or what keeps the driver from running."""
    try:
        driver.prepare()
        return None
    except (LeftOut, RuntimeError) as error:
        return error


def pooling(postgres, drivers):
    return Pooling([database(postgres, driver.name) for driver in drivers], auth_type="scram-sha-256",
                   secrets={"app": postgres.passwords["app"]}, default_pool_size=2, max_prepared_statements=20)


class DriversTest(unittest.TestCase):
    def prepare(self):
        """The drivers that can run. The others are told; what should have worked fails the test."""
        names = os.environ.get("WEIR_DRIVERS", "").split() or [driver.name for driver in DRIVERS]
        wanted = [driver for driver in DRIVERS if driver.name in names]
        with concurrent.futures.ThreadPoolExecutor(2) as two:
            obstacles = list(two.map(prepared, wanted))
        for driver, obstacle in zip(wanted, obstacles):
            if isinstance(obstacle, LeftOut):
                print(f"Left out: driver {driver.name}, {obstacle}", flush=True)
            elif obstacle is not None:
                with self.subTest(driver.name):
                    raise obstacle
        return [driver for driver, obstacle in zip(wanted, obstacles) if obstacle is None]

    def started(self, weir, postgres, driver):
        environment = weir.environment(postgres) | driver.environment() | {
            "PGPORT": str(postgres.port if DIRECT else weir.port), "PGDATABASE": driver.name,
            "PGSSLMODE": "disable", "WEIR_SECONDS": str(SECONDS), "WEIR_SEED": str(SEED),
            "WEIR_CONNECTIONS": str(CONNECTIONS), "WEIR_MIX": " ".join(f"{kind}={n}" for kind, n in MIX.items())}
        return self.enterContext(Process(["setpriv", "--pdeathsig", "KILL", *driver.command()], env=environment))

    def check(self, driver, process, weir):
        status = None  # if it does not end
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(SECONDS + 40)
        said = process.output()
        print(f"{driver.name}: {', '.join(process.lines)}"[:2000], flush=True)
        self.assertEqual(status, 0, f"{driver.name}, seed {SEED}:\n{said}\n{weir.process.output()}")
        counts = dict(line.split(" ", 1) for line in process.lines)
        for kind in set(MIX) - set(driver.lacks):
            self.assertGreater(int(counts.get(kind, 0)), 0, f"{driver.name} has not tried {kind}:\n{said}")

    def test_mixed_work(self):
        drivers = self.prepare()
        if not drivers:
            self.skipTest("no driver at all")
        with Postgres() as postgres:
            with open(os.path.join(HERE, "schema.sql"), encoding="utf-8") as file:
                schema = file.read()
            for driver in drivers:
                postgres.psql(f'create database "{driver.name}" owner app', "postgres", "postgres")
                postgres.psql(schema, database=driver.name)
            with pooling(postgres, drivers) as weir:
                began = time.monotonic()
                running = [(driver, self.started(weir, postgres, driver)) for driver in drivers]
                for driver, process in running:
                    with self.subTest(driver.name):
                        self.check(driver, process, weir)
                print(f"All of it took {time.monotonic() - began:.1f} s, seed {SEED}")


if __name__ == "__main__":
    unittest.main()
