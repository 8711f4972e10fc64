"""Who may include whom: the table of layers in docs/ARCHITECTURE.md."""

import re

from tree import code_only

BELOW = {
    "base": [],
    "io": ["base"],
    "conf": ["base"],
    "auth": ["base", "pgwire", "conf"],
    "net": ["base", "io"],
    "pool": ["base", "pgwire", "conf", "auth", "net"],
    "session": ["base", "pgwire", "io", "conf", "auth", "net", "pool"],
    "mirror": ["base", "pgwire", "conf", "auth", "net", "pool"],
    "admin": ["base", "pgwire", "io", "conf", "auth", "net", "pool", "session", "mirror"],
    "daemon": ["base", "pgwire", "io", "conf", "auth", "net", "pool", "session", "mirror", "admin"],
    "ctl": ["base"],
}

# The loop's contract is open to every layer above io.
OPEN_TO_ALL = {"weir/io/loop.h", "weir/io/sock.h"}

# Headers of libraries, and the only files that may name them.
LIBRARIES = {
    r"liburing\.h": r"^(src/io/uring\w*\.[ch]|bench/wire/bare\.c)$",
    r"libconfig\.h": r"^src/conf/load\.c$",
    r"xxhash\.h": r"^src/base/hash\.c$",
    r"wolfssl/": r"^src/(net/tls\w*\.[ch]|auth/digest\.c)$",
    r"(ldap|security/pam_\w+)\.h": r"^src/auth/helper_\w+\.c$",
    r"ares\w*\.h": r"^src/net/resolve\.c$",
    r"microhttpd\.h": r"^src/admin/http\.c$",
    r"systemd/": r"^src/daemon/",
    r"libpq-fe\.h": r"^(src/ctl/|tests/|bench/)",
    r"n?curses\.h": r"^src/ctl/top\.c$",
    r"criterion/": r"(^|/)tests/",
}

INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]')
MAX_PROJECT_INCLUDES_OF_HEADER = 8


def includes(tree, path):
    for number, line in tree.lines(path):
        found = INCLUDE.match(line)
        if found:
            yield number, found.group(1) == '"', found.group(2)


def layer_of(path):
    found = re.match(r"(?:src|include/weir)/(\w+)/", path)
    if found:
        return found.group(1)
    return "pgwire" if re.match(r"subprojects/pgwire/(src|include)/", path) else None


def problem_of_include(tree, path, layer, target):
    """Why `layer` must not include the project header `target`, or None."""
    if "/" not in target:
        folder = path.rsplit("/", 1)[0]
        return None if tree.exists(f"{folder}/{target}") else "no such private header in this folder"
    found = re.match(r"(?:weir/(\w+)|(pgwire))/\w+\.h$", target)
    if not found:
        return "project headers are included as weir/LAYER/x.h, pgwire/x.h or, privately, x.h"
    other = found.group(1) or found.group(2)
    if other == layer or target in OPEN_TO_ALL and layer not in ("base", "pgwire"):
        return None
    if layer == "pgwire" or other not in BELOW[layer]:
        return f"{layer} may not include {other}"
    return None


def check_directions(tree):
    """Includes go down the layers only, and one layer alone names each library."""
    for path in tree.sources():
        layer = layer_of(path)
        if layer is not None and layer != "pgwire" and layer not in BELOW:
            yield f"{path}:1: no layer is called {layer}"
            continue
        for number, is_project, target in includes(tree, path):
            for header, allowed in LIBRARIES.items():
                if re.match(header, target) and not re.search(allowed, path):
                    yield f"{path}:{number}: only {allowed} may include {target}"
            if is_project and layer is not None:
                problem = problem_of_include(tree, path, layer, target)
                if problem:
                    yield f"{path}:{number}: {target}: {problem}"


def check_umbrellas(tree):
    """No header exists to include others: each declares something and names what it needs."""
    for path in tree.matching(r"^(src|include|subprojects/pgwire/(src|include))/.*\.h$"):
        n_project = sum(is_project for _, is_project, _ in includes(tree, path))
        code = re.sub(r"^#\s*(include|ifndef|endif|define \w+_H\b).*$", "", code_only(tree.text(path)),
                      flags=re.MULTILINE)
        if not code.strip() and n_project > 0:
            yield f"{path}:1: declares nothing, only includes"
        if n_project > MAX_PROJECT_INCLUDES_OF_HEADER:
            yield f"{path}:1: includes {n_project} project headers: forward-declare instead"


def check_libraries(tree):
    """Each layer is one static library of its own name that lists its sources by hand."""
    for folder in sorted({path.rsplit("/", 1)[0] for path in tree.matching(r"^src/\w+/.*\.c$")}):
        build = f"{folder}/meson.build"
        if not tree.exists(build):
            yield f"{build}:1: missing"
            continue
        text = tree.text(build)
        libraries = re.findall(r"static_library\(\s*'(\w+)'", text)
        if libraries != [folder.split("/")[1]]:
            yield f"{build}:1: must make exactly one static library, called like the layer: {libraries}"
        if re.search(r"run_command|find|glob", text):
            yield f"{build}:1: sources are listed by hand"
