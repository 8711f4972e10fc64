"""Each rule passes a small good tree and finds what is wrong in a bad one."""

import json
import os
import subprocess
import tempfile
import unittest

from lint import BY_TEXT, BY_TOOL, run_check
from tree import Tree

GOOD = {
    ".clang-format": "BasedOnStyle: LLVM\nIndentWidth: 4\nBreakBeforeBraces: Linux\n"
                     "AllowShortFunctionsOnASingleLine: None\n",
    ".clang-tidy": "Checks: '-*,bugprone-*'\nWarningsAsErrors: '*'\n",
    "README.md": "See [the map](docs/map.md) and `src/io/{loop,uring}.c`.\n",
    "docs/map.md": "The loop is io/loop.h, all of it: src/io/*.c.\n",
    "dev": "#!/bin/bash\necho \"$1\"\n",
    "include/weir/base/span.h": "#ifndef A_H\n#define A_H\n#include <stddef.h>\nsize_t span_len(void);\n#endif\n",
    "include/weir/io/loop.h": "#ifndef B_H\n#define B_H\n#include \"weir/base/span.h\"\nint loop_turn(void);\n#endif\n",
    "src/io/meson.build": "io_lib = static_library('io',\n  'loop.c',\n  'uring.c')\n",
    "src/io/loop.c": "#include \"weir/io/loop.h\"\n\nint loop_turn(void)\n{\n    return 0; /* not strcpy() */\n}\n",
    "src/io/uring.c": "#include <liburing.h>\n\n#include \"uring.h\"\n",
    "src/io/uring.h": "int uring_new(void);\n",
}

LONG_FUNCTION = "void f(void)\n{\n" + "    g();\n" * 70 + "}\n"

# rule, file that is added or replaced, its text, what the message says
BAD = [
    ("directions", "src/io/a.c", '#include "weir/conf/conf.h"\n', "io may not include conf"),
    ("directions", "src/io/a.c", '#include "pgwire/frame.h"\n', "io may not include pgwire"),
    ("directions", "subprojects/pgwire/src/a.c", '#include "weir/io/loop.h"\n', "pgwire may not include io"),
    ("directions", "src/base/a.c", '#include "weir/io/loop.h"\n', "base may not include io"),
    ("directions", "include/weir/base/a.h", '#include "weir/net/stream.h"\n', "base may not include net"),
    ("directions", "src/net/a.c", '#include "uring.h"\n', "no such private header"),
    ("directions", "src/net/a.c", '#include "../io/uring.h"\n', "project headers are included as"),
    ("directions", "src/misc/a.c", "", "no layer is called misc"),
    ("directions", "src/net/a.c", "#include <liburing.h>\n", "may include liburing.h"),
    ("directions", "src/io/loop.c", "#include <liburing.h>\n", "may include liburing.h"),
    ("directions", "src/base/a.c", "#include <libconfig.h>\n", "may include libconfig.h"),
    ("directions", "src/io/a.c", "#include <xxhash.h>\n", "may include xxhash.h"),
    ("directions", "src/io/a.c", "#include <criterion/criterion.h>\n", "may include criterion"),
    ("umbrellas", "include/weir/io/io.h", '#include "weir/io/loop.h"\n', "declares nothing"),
    ("umbrellas", "include/weir/io/io.h", "".join(f'#include "weir/io/{c}.h"\n' for c in "abcdefghi") + "int x;\n",
     "includes 9 project headers"),
    ("libraries", "src/io/meson.build", "static_library('io')\nstatic_library('io2')\n", "exactly one"),
    ("libraries", "src/io/meson.build", "static_library('input')\n", "called like the layer"),
    ("libraries", "src/net/a.c", "", "src/net/meson.build:1: missing"),
    ("sizes", "src/io/a.c", LONG_FUNCTION, "src/io/a.c:2: function of 72 lines"),
    ("sizes", "src/io/a.c", "\n" * 601, "over 600 lines"),
    ("reasons", "src/io/a.c", "f(); /* NOLINT */\n", "src/io/a.c:1: NOLINT without a reason"),
    ("reasons", "src/io/a.c", "f(); /* NOLINT(bugprone-x) */\n", "NOLINT without a reason"),
    ("forbidden", "src/io/a.c", "f(strcpy(a, b));\n", "strcpy() is forbidden"),
    ("forbidden", "tests/a.c", "\nint i = atoi (s);\n", "tests/a.c:2: atoi() is forbidden"),
    ("leftovers", "src/io/a.c", "/* TO" + "DO: more */\n", "unfinished"),
    ("leftovers", "docs/b.md", "Run /ro" + "ot/x/dev\n", "path of one machine"),
    ("documents", "docs/b.md", "In `src/io/gone.c` it is.\n", "docs/b.md:1: src/io/gone.c does not exist"),
    ("documents", "docs/b.md", "In io/gone.h it is.\n", "io/gone.h does not exist"),
    ("documents", "README.md", "In src/io/{loop,gone}.c it is.\n", "src/io/gone.c does not exist"),
    ("documents", "README.md", "[x](docs/gone.md)\n", "link to docs/gone.md"),
    ("listed", "src/io/a.c", "", "no meson.build lists this source"),
    ("headers", "src/io/a.h", "size_t f(void);\n", "src/io/a.h:1: does not compile alone"),
    ("format", "src/io/a.h", "int  f( void );\n", "src/io/a.h: not formatted"),
    ("tidy", "src/io/loop.c", "int f(int a)\n{\n    if (a == a + 0 - 0 * 2 || a == a)\n        ;\n    return 0;\n}\n",
     "src/io/loop.c: clang-tidy"),
    ("scripts", "dev", "#!/bin/bash\necho $1\n", "dev: shellcheck"),
]


class LintTest(unittest.TestCase):
    def problems(self, rule, files):
        with tempfile.TemporaryDirectory() as folder:
            for path, text in files.items():
                os.makedirs(os.path.dirname(os.path.join(folder, path)), exist_ok=True)
                with open(os.path.join(folder, path), "w", encoding="utf-8") as file:
                    file.write(text)
                    os.fchmod(file.fileno(), 0o755 if text.startswith("#!") else 0o644)
            database = os.path.join(folder, "compile_commands.json")
            with open(database, "w", encoding="utf-8") as file:
                json.dump([{"directory": folder, "file": path, "command": "cc -Iinclude -fgcse -c " + path}
                           for path in ("src/io/loop.c",)] +
                          [{"directory": folder + "/build", "file": "../src/io/uring.c",
                            "command": "cc -std=gnu17 -c ../src/io/uring.c"}], file)
            return run_check(rule, Tree(folder), database)

    def test_good_tree(self):
        for rule in [*BY_TEXT, *BY_TOOL]:
            with self.subTest(rule=rule):
                self.assertEqual(self.problems(rule, GOOD), [])

    def test_bad_trees(self):
        for rule, path, text, message in BAD:
            with self.subTest(rule=rule, message=message):
                self.assertIn(message, "\n".join(self.problems(rule, GOOD | {path: text})))

    def test_each_rule_has_a_bad_tree(self):
        self.assertEqual({rule for rule, *_ in BAD}, {*BY_TEXT, *BY_TOOL})

    def test_long_function_with_a_reason(self):
        files = GOOD | {"src/io/a.c": "/* NOLINTNEXTLINE(readability-function-size): one table */\n" + LONG_FUNCTION}
        self.assertEqual(self.problems("sizes", files), [])


class CommandTest(unittest.TestCase):
    def test_status_and_message(self):
        with tempfile.TemporaryDirectory() as folder:
            with open(os.path.join(folder, "a.c"), "w", encoding="utf-8") as file:
                file.write("\n" * 601)
            here = os.path.dirname(os.path.abspath(__file__))
            done = subprocess.run(["python3", os.path.join(here, "lint.py"), folder, "none", "sizes"],
                                  capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, "a.c:600: over 600 lines\n"))


if __name__ == "__main__":
    unittest.main()
