"""Sequences of messages and what a server answers to each, as text.

    == name of the sequence
    P s1 "select $1::int"          | 1
    B "" s1 7                      | 2
    E                              | D:11 C:SELECT_1
    S                              | Z:I

Left of the bar a message of the client: its letter, then its fields, with defaults where the last
ones are left out. Right of it what it was answered with: letters and, after a colon, the SQLSTATE of
an error or a notice (with ! if it ended the connection), the status, the command tag, the name of a
parameter or channel, else the length of the body; *3 says three times; EOF the end of the
connection. A line may also begin with ! and say what else happens:

    ! notify CHANNEL               another session sends a notification
    ! terminate                    another session ends this one
    ! pause LETTER                 nothing is sent until a message of this letter has come; it stands
                                   behind a message whose answer ends with Z, or another line with !
    ! timeout                      nothing is sent until the statement timeout has run out
"""

import json
import re
import struct

from message import frame, string

WITHOUT_DETAIL = "123nsIc"
BAR_COLUMN = 40


def quoted(word):
    return word if re.fullmatch(r"[\w$*.-]+|!", word) else json.dumps(word)


def words_of(text):
    return [json.loads(word) if word[0] == '"' else word
            for word in re.findall(r'"(?:\\.|[^"\\])*"|\S+', text)]


def split_at_bar(line):
    """The words of the message and those of the answer; a bar may also be inside quotes."""
    words = re.findall(r'"(?:\\.|[^"\\])*"|\S+', line)
    if "|" not in words:
        return words_of(line), []
    bar = words.index("|")
    return words_of(" ".join(words[:bar])), words[bar + 1:]


class Sequence:
    """A name, messages as lists of words, and for each of them the list of its answers."""

    def __init__(self, name):
        self.name = name
        self.messages = []
        self.answers = []

    def add(self, message, answers=()):
        self.messages.append(list(message))
        self.answers.append(list(answers))

    def ends_by_itself(self):
        return self.messages[-1] in (["X"], ["Q", "select 'end'"])

    def add_probe(self):
        """What shows that nothing is left over: a Sync, and a query with an answer of its own."""
        if not self.ends_by_itself():
            self.add(["S"])
            self.add(["Q", "select 'end'"])

    def __str__(self):
        lines = [f"== {self.name}"]
        for message, answers in zip(self.messages, self.answers):
            left = " ".join(quoted(word) if word else '""' for word in message)
            lines.append(f"{left:{BAR_COLUMN}} | {' '.join(squeezed(answers))}".rstrip())
        return "\n".join(lines)


def squeezed(answers):
    """The same answer several times in a row is written once."""
    runs = []
    for answer in answers:
        if runs and runs[-1][0] == answer:
            runs[-1][1] += 1
        else:
            runs.append([answer, 1])
    return [answer if n == 1 else f"{answer}*{n}" for answer, n in runs]


def stretched(answers):
    for answer in answers:
        answer, _, times = answer.partition("*")
        yield from [answer] * int(times or 1)


def read(path):
    """The sequences of a file and its comments at the top."""
    comments, sequences = [], []
    with open(path, encoding="utf-8") as file:
        for line in file.read().split("\n"):
            if line.startswith("== "):
                sequences.append(Sequence(line[3:]))
            elif line and not sequences:
                comments.append(line)
            elif line:
                message, answers = split_at_bar(line)
                sequences[-1].add(message, stretched(answers))
    return comments, sequences


def write(path, comments, sequences):
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(comments) + "\n\n" + "\n\n".join(map(str, sequences)) + "\n")


def encoded(message, function_oids):
    """The bytes of a message."""
    letter, words = message[0], message[1:]
    return frame(letter, BODIES[letter](words, function_oids))


def parameters(words):
    """Number, then lengths and bytes; all in text format."""
    values = b"".join(struct.pack("!i", len(word.encode())) + word.encode() for word in words)
    return struct.pack("!HH", 0, len(words)) + values


def word_at(words, i, otherwise=""):
    return words[i] if i < len(words) else otherwise


BODIES = {
    "Q": lambda words, _: string(words[0]),
    "P": lambda words, _: (string(words[0]) + string(words[1]) + struct.pack("!H", len(words) - 2)
                           + b"".join(struct.pack("!I", int(word)) for word in words[2:])),
    "B": lambda words, _: (string(word_at(words, 0)) + string(word_at(words, 1))
                           + parameters(words[2:]) + struct.pack("!H", 0)),
    "D": lambda words, _: words[0].encode() + string(word_at(words, 1)),
    "C": lambda words, _: words[0].encode() + string(word_at(words, 1)),
    "E": lambda words, _: string(word_at(words, 0)) + struct.pack("!I", int(word_at(words, 1, "0"))),
    "F": lambda words, oids: (struct.pack("!I", oids[words[0]]) + parameters(words[1:])
                              + struct.pack("!H", 0)),
    "d": lambda words, _: words[0].encode(),
    "f": lambda words, _: string(word_at(words, 0, "stop")),
    "S": lambda *_: b"",
    "H": lambda *_: b"",
    "c": lambda *_: b"",
    "X": lambda *_: b"",
}


def answer_of(message):
    """A message of the server as text."""
    letter = message.letter
    if letter in "EN":
        fields = message.fields()
        ends = "!" if fields["V"] in ("FATAL", "PANIC") else ""
        return f"{letter}:{fields['C']}{ends}"
    if letter in "ZCS":
        return f"{letter}:{message.body.split(bytes(1))[0].decode().replace(' ', '_')}"
    if letter == "A":
        return f"{letter}:{message.body[4:].split(bytes(1))[0].decode()}"
    return letter if letter in WITHOUT_DETAIL else f"{letter}:{len(message.body)}"
