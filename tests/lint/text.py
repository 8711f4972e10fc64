"""What can be seen in the text of a file alone."""

import glob
import os
import re

from tree import code_only

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 600
FORBIDDEN = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|stpcpy|atoi|atol|atoll|strtok|strtok_r|alloca|gets)\s*\(")
REASONED = re.compile(r"NOLINT\w*(\([\w,.* -]+\))?: \w+")

# Written in two halves so that this file passes its own check.
MACHINE_PATHS = re.compile("/" + r"(work|root|farm|tmp/w)\b/|/home/\w+/")
UNFINISHED = re.compile(r"\b(TO" + "DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")


def functions(text):
    """(first line, number of lines) of each function: clang-format puts its braces in column 0."""
    start = None
    for number, line in enumerate(text.split("\n"), 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            yield start, number - start + 1
            start = None


def check_sizes(tree):
    """Functions and files are short enough to be read in one go."""
    for path in tree.sources():
        text = tree.text(path)
        lines = text.split("\n")
        if len(lines) - 1 > MAX_FILE_LINES:
            yield f"{path}:{MAX_FILE_LINES}: over {MAX_FILE_LINES} lines"
        for start, length in functions(text):
            head = "\n".join(lines[max(0, start - 4):start])
            if length > MAX_FUNCTION_LINES and not REASONED.search(head):
                yield f"{path}:{start}: function of {length} lines, at most {MAX_FUNCTION_LINES}"


def check_reasons(tree):
    """Whoever silences a check says why on the same line."""
    for path in tree.sources():
        for number, line in tree.lines(path):
            if "NOLINT" in line and "NOLINTEND" not in line and not REASONED.search(line):
                yield f"{path}:{number}: NOLINT without a reason: NOLINT(check): why"


def check_forbidden(tree):
    """No functions that write without a bound or read numbers without an error."""
    for path in tree.sources():
        for number, line in enumerate(code_only(tree.text(path)).split("\n"), 1):
            for name in FORBIDDEN.findall(line):
                yield f"{path}:{number}: {name}() is forbidden"


def check_leftovers(tree):
    """No path of one machine, no unfinished work."""
    for path in tree.matching(r"\.(c|h|py|sh|md|build|txt|pml|dict|conf)$|^dev$|^\.ci/"):
        for number, line in tree.lines(path):
            if MACHINE_PATHS.search(line):
                yield f"{path}:{number}: path of one machine: {line.strip()}"
            if UNFINISHED.search(line):
                yield f"{path}:{number}: unfinished: {line.strip()}"


def expanded(word):
    """The paths that a word with one {a,b} in it stands for."""
    found = re.match(r"(.*)\{([^{}]*)\}(.*)$", word)
    if not found:
        return [word]
    return [path for middle in found.group(2).split(",")
            for path in expanded(found.group(1) + middle + found.group(3))]


def named_paths(tree, line):
    """Paths in a line of documentation: from the top (src/io/uring.c) or as LAYER/FILE (io/uring.c)."""
    for word in re.findall(r"(?<![\w./-])(?:src|include|subprojects|tests|bench|docs|\.ci)/[\w./{},*-]*", line):
        yield from ((path, [path]) for path in expanded(word.rstrip(".,")))
    for layer, file in re.findall(r"(?<![\w./-])(\w+)/(\w+\.[ch])\b", line):
        if tree.exists(f"src/{layer}"):
            yield f"{layer}/{file}", [f"src/{layer}/{file}", f"include/weir/{layer}/{file}"]


def check_documents(tree):
    """Every path that the documentation names exists."""
    for document in tree.matching(r"^(README\.md|docs/.*\.md|subprojects/\w+/(README\.md|docs/.*\.md))$"):
        home = os.path.dirname(document)
        in_subproject = document.startswith("subprojects/")
        for number, line in tree.lines(document):
            for name, places in named_paths(tree, line):
                if in_subproject:
                    places = places + [f"{home}/{place}" for place in places]
                if not any(glob.glob(tree.absolute(place)) for place in places):
                    yield f"{document}:{number}: {name} does not exist"
            for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", line):
                if not tree.exists(os.path.join(home, target)):
                    yield f"{document}:{number}: link to {target}, which does not exist"
