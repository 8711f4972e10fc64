"""Steps of a conversation that is held twice, with PostgreSQL itself and through weir, and compared."""

import re
import struct
import threading

from wire import SYNC, Client, batch, bind, execute, parse

PLACES = "FLRP"  # fields of an error: where in PostgreSQL it was found, and where in a text


def direct(postgres):
    return Client((postgres.host, postgres.port)).log_in("app", "app", postgres.passwords["app"])


def letters(data):
    """Those of the messages in these bytes."""
    found, at = "", 0
    while at < len(data):
        found += chr(data[at])
        at += 1 + struct.unpack_from("!I", data, at + 1)[0]
    return found


def comparable(message):
    if message.letter != "E":
        return message.letter, message.body
    # PostgreSQL compares the first 63 bytes of a name; weir knows no more of it.
    return "E", {code: re.sub('"(.{63})[^"]*"', r'"\1"', text) for code, text in message.fields().items()
                 if code not in PLACES}


class Step:
    """Bytes in one send, and how many ReadyForQuery answer them; by default one to each Sync and Query."""

    def __init__(self, *messages, n_ready=None):
        self.data = b"".join(messages)
        found = letters(self.data)
        self.n_ready = found.count("S") + found.count("Q") if n_ready is None else n_ready

    def __str__(self):
        return letters(self.data)[:60]

    def play(self, client, send=Client.send_all_it_takes):
        sender = threading.Thread(target=send, args=(client, self.data))
        sender.start()
        try:
            came = [message for _ in range(self.n_ready) for message in client.read_until("Z")]
        finally:
            sender.join()
        return [comparable(message) for message in came]


class Servers:
    """Both servers of a pool are held by clients of ours, but the one that is to be used next. It comes
    with the settings and the unnamed statement of whoever had it."""

    SETTINGS = ({"TimeZone": "Asia/Seoul", "application_name": "one"}, {"DateStyle": "Postgres, DMY"})

    def __init__(self, weir, database="app"):
        self.holders = [weir.client(database, **settings) for settings in self.SETTINGS]
        self.free = 0
        for holder in self.holders:
            run(holder, "begin")
        run(self.holders[0], "commit")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for holder in self.holders:
            holder.close()

    def change(self):
        run(self.holders[self.free], "begin")
        self.free = 1 - self.free
        run(self.holders[self.free], "commit")


def run(client, sql):
    client.send(batch(sql), SYNC)
    answer = client.answer()
    if answer.errors:
        raise answer.errors[0]


def prepared(name, sql, *values, types=()):
    return parse(sql, name, types) + bind(*values, name=name) + execute()
