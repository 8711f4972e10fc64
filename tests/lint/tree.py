"""The files of a source tree as the checks see them."""

import os
import re

NOT_SOURCES = re.compile(r"^(build(-.*)?|run|\.git|__pycache__)$")


class Tree:
    """Paths are relative to the tree's folder and use '/'."""

    def __init__(self, folder):
        self.folder = folder
        self.paths = sorted(self._walk())

    def _walk(self):
        for folder, folders, files in os.walk(self.folder):
            folders[:] = [name for name in folders if not NOT_SOURCES.match(name)]
            for name in files:
                yield os.path.relpath(os.path.join(folder, name), self.folder)

    def matching(self, pattern):
        return [path for path in self.paths if re.search(pattern, path)]

    def sources(self):
        return self.matching(r"\.[ch]$")

    def absolute(self, path):
        return os.path.join(self.folder, path)

    def exists(self, path):
        return os.path.exists(self.absolute(path))

    def text(self, path):
        with open(self.absolute(path), encoding="utf-8") as file:
            return file.read()

    def lines(self, path):
        """(number, line) pairs, counted from 1."""
        return enumerate(self.text(path).split("\n"), 1)


def code_only(text):
    """C text with comments and the insides of strings blanked, line for line."""
    def blank(match):
        found = match.group(0)
        if found[0] == "/":
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]

    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text,
                  flags=re.DOTALL)
