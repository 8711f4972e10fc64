"""Adds up the logs of meson test: the ten slowest tests, what tests say to have left out, then the line
"N passed, N failed"."""

import json
import sys


def read_log(path):
    with open(path, encoding="utf-8") as log:
        for line in log:
            test = json.loads(line)
            left_out = [said for said in test.get("stdout", "").splitlines() if said.startswith("Left out: ")]
            yield test["duration"], test["name"], path.split("/")[0], test["result"], left_out


def main():
    tests = [test for path in sys.argv[1:] for test in read_log(path)]
    print("\nThe slowest tests:")
    for duration, name, folder, *_ in sorted(tests, reverse=True)[:10]:
        print(f"{duration:7.2f} s  {name}  ({folder})")

    for said in sorted({line for *_, left_out in tests for line in left_out}):
        print(said)
    results = [test[3] for test in tests]
    n_passed = sum(result in ("OK", "EXPECTEDFAIL") for result in results)
    n_skipped = results.count("SKIP")
    n_failed = len(results) - n_passed - n_skipped
    for _, name, folder, result, _ in tests:
        if result not in ("OK", "EXPECTEDFAIL", "SKIP"):
            print(f"{result}: {name}  ({folder})")
    print()
    print(f"{n_passed} passed, {n_failed} failed" + (f", {n_skipped} skipped" if n_skipped else ""))
    return 0 if tests and n_failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
