"""Messages of the protocol, and the client's part of a SCRAM login."""

import base64
import hashlib
import hmac
import os
import struct


class Message:
    """One message: its letter and its body."""

    def __init__(self, letter, body):
        self.letter = letter
        self.body = body

    def fields(self):
        """The fields of an ErrorResponse or a NoticeResponse by their letter."""
        return {field[:1].decode(): field[1:].decode(errors="replace")
                for field in self.body.split(b"\0") if field}


def frame(letter, body=b""):
    return letter.encode() + struct.pack("!I", len(body) + 4) + body


def string(text):
    return text.encode() + b"\0"


def startup(**parameters):
    """The startup packet of protocol 3.0."""
    body = b"".join(string(word) for pair in parameters.items() for word in pair) + b"\0"
    return struct.pack("!II", len(body) + 8, 3 << 16) + body


def scram_dialogue(password):
    """The client's two answers in SCRAM-SHA-256 (RFC 5802): a generator that is sent the challenge
    after each."""
    first = "n=,r=" + base64.b64encode(os.urandom(18)).decode()
    opening = string("SCRAM-SHA-256") + struct.pack("!I", len(first) + 3) + b"n,," + first.encode()
    challenge = (yield opening).decode()
    given = dict(part.split("=", 1) for part in challenge.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(given["s"]),
                                 int(given["i"]))
    key = hmac.digest(salted, b"Client Key", "sha256")
    final = "c=biws,r=" + given["r"]
    signed = ",".join((first, challenge, final)).encode()
    signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature))
    yield (final + ",p=" + base64.b64encode(proof).decode()).encode()


def scram_answers(password, challenge_of):
    """The whole dialogue; challenge_of(answer) sends an answer and returns the next challenge."""
    dialogue = scram_dialogue(password)
    challenge = challenge_of(next(dialogue))
    challenge_of(dialogue.send(challenge))
