"""Checks the sources. Usage: lint.py TREE COMPILE_COMMANDS CHECK; prints PATH:LINE: what is wrong."""

import sys

import compiled
import layers
import text
from tree import Tree

BY_TEXT = {
    "directions": layers.check_directions,
    "umbrellas": layers.check_umbrellas,
    "libraries": layers.check_libraries,
    "sizes": text.check_sizes,
    "reasons": text.check_reasons,
    "forbidden": text.check_forbidden,
    "leftovers": text.check_leftovers,
    "documents": text.check_documents,
}
BY_TOOL = {
    "listed": compiled.check_listed,
    "headers": compiled.check_headers,
    "format": compiled.check_format,
    "tidy": compiled.check_tidy,
    "scripts": compiled.check_scripts,
}


def run_check(name, tree, database, *part):
    """The problems that the check finds, as a list of texts. part: number and count, if it has parts."""
    if name in BY_TEXT:
        return list(BY_TEXT[name](tree))
    return list(BY_TOOL[name](tree, database, *part))


def main():
    folder, database, name, *part = sys.argv[1:]
    problems = run_check(name, Tree(folder), database, *map(int, part))
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
