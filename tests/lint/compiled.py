"""What needs a compiler or another tool to see. `database` is meson's compile_commands.json."""

import concurrent.futures
import json
import os
import re
import shlex
import subprocess

# What clang and gcc agree on; the rest of a command belongs to the compiler of the build.
PORTABLE = re.compile(r"^-(I|isystem|D|std=)")


def run_all(commands, folder, n_at_once=None):
    """Runs (label, command) pairs, one a processor or n_at_once; yields the label and output of those that fail."""
    def run(job):
        return job[0], subprocess.run(job[1], cwd=folder, capture_output=True, text=True, check=False)

    with concurrent.futures.ThreadPoolExecutor(n_at_once or len(os.sched_getaffinity(0))) as pool:
        for label, done in pool.map(run, commands):
            if done.returncode != 0:
                yield label, (done.stdout + done.stderr).strip() or f"exit status {done.returncode}"


def read_database(tree, database):
    """{path of a source: portable options}. Paths in options are made absolute."""
    options = {}
    with open(database, encoding="utf-8") as file:
        entries = json.load(file)
    for entry in entries:
        path = os.path.relpath(os.path.join(entry["directory"], entry["file"]), tree.folder)
        words = []
        for word in shlex.split(entry["command"]):
            if not PORTABLE.match(word):
                continue
            flag = "-I" if word.startswith("-I") else "-isystem" if word.startswith("-isystem") else None
            words.append(flag + os.path.join(entry["directory"], word[len(flag):]) if flag else word)
        options.setdefault(path, words)
    return options


def check_listed(tree, database):
    """Every source is part of the build."""
    known = read_database(tree, database)
    for path in tree.matching(r"^(src|subprojects|tests|bench)/.*\.c$"):
        if path not in known:
            yield f"{path}:1: no meson.build lists this source"


def check_headers(tree, _database):
    """Every header compiles alone."""
    flags = ["-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-Iinclude", "-Isubprojects/pgwire/include"]
    headers = tree.matching(r"^(src|include|subprojects/pgwire/(src|include))/.*\.h$")
    commands = [(path, ["cc", *flags, "-include", path, "-x", "c", "/dev/null"]) for path in headers]
    for path, output in run_all(commands, tree.folder):
        yield f"{path}:1: does not compile alone\n{output}"


def check_format(tree, _database):
    """clang-format would change nothing."""
    command = ["clang-format-14", "--dry-run", "-Werror", *tree.sources()]
    for _, output in run_all([("all", command)], tree.folder):
        for path in sorted(set(re.findall(r"^(.*?):\d+:\d+: error: ", output, flags=re.MULTILINE))):
            yield f"{path}: not formatted, run ./dev format"


# The static analyzer does not follow the calls of a test from one function to the next: that would take
# most of the time of lint, and sanitizers see the test itself run along all of its ways.
SHALLOW = ("--extra-arg=-Xclang", "--extra-arg=-analyzer-config", "--extra-arg=-Xclang", "--extra-arg=mode=shallow")


def check_tidy(tree, database, part=0, n_parts=1):
    """clang-tidy has nothing to say about each n_parts-th source, beginning with number `part`."""
    jobs = []
    for path, options in sorted(read_database(tree, database).items())[part::n_parts]:
        if tree.exists(path):
            extra = SHALLOW if re.search(r"(^|/)(tests|bench)/", path) else ()
            jobs.append((path, ["clang-tidy-14", "--quiet", *extra, path, "--", *options]))
    for path, output in run_all(jobs, tree.folder, n_at_once=1 if n_parts > 1 else None):
        findings = re.findall(r"^.*: (?:error|warning): .*$", output, flags=re.MULTILINE)
        shown = "\n".join(findings or [output]).replace(os.path.abspath(tree.folder) + "/", "")
        yield f"{path}: clang-tidy\n{shown}"


def check_scripts(tree, _database):
    """shellcheck has nothing to say about the shell scripts."""
    scripts = [path for path in tree.matching(r"\.sh$|^[^./]+$|^\.ci/")
               if re.match(r"#!.*\b(ba)?sh\n", tree.text(path))]
    for path, output in run_all([(path, ["shellcheck", path]) for path in scripts], tree.folder):
        yield f"{path}: shellcheck\n{output}"
