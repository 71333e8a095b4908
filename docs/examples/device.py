#!/usr/bin/env python3
"""A device for Bellwire in plain Python: docs/device-protocol.md, implemented from the page alone.

    device.py tcp:127.0.0.1:7000      a serial line over TCP
    device.py /dev/ttyUSB0            a serial port; set it up before: stty -F /dev/ttyUSB0 115200 raw -echo

It keeps its events in a file, so that they survive a power cut, and counts its starts there. Without arguments but these it
is a freezer that says its temperature every ten seconds and obeys the command `defrost`. `--events N` sends N events,
waits until the gateway has all of them and has answered what was asked, and ends.
"""

import argparse, json, math, os, random, select, socket, struct, sys, time, zlib

VERSION = 1
HELLO, EVENT, RESULT, WELCOME, ACK, COMMAND = 0x01, 0x02, 0x03, 0x81, 0x82, 0x83
DONE, REFUSED, EXPIRED = 0, 1, 2
WINDOW, QUEUE_MAX = 8, 100
HELLO_EVERY, FIRST_WAIT, LONGEST_WAIT = 60.0, 1.0, 64.0
BOOT_MAX, U64_MAX = 2**32 - 2, 2**64 - 1
RESERVED = ("device", "boot", "sequence")
AHEAD_MAX_MS = 60_000
OLD_HELLOS_MAX = 20


# --- values in postcard --------------------------------------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def text(value):
    raw = value if isinstance(value, bytes) else value.encode()
    return varint(len(raw)) + raw


def field(name, value):
    if isinstance(value, bool):
        return text(name) + b"\0" + bytes([value])
    if isinstance(value, int):
        return text(name) + b"\1" + varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, float):
        return text(name) + b"\2" + struct.pack("<f", value)
    return text(name) + b"\3" + text(value)


def check(fields, latest_ms):
    """ValueError for what the gateway would refuse: it would wait for ever, and all behind it."""
    for name, value in fields.items():
        if not name or name in RESERVED:
            raise ValueError(f"no field may be called {name!r}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is no number")
    at = fields.get("at_ms", 0)
    if at < 0 or latest_ms and at > latest_ms + AHEAD_MAX_MS:
        raise ValueError("at_ms is before 1970 or in the future")


def read(kind, message):
    """The values of a message to a device; ValueError when it is not one."""
    reader = Reader(message)
    if kind == WELCOME:
        values = (reader.varint(), reader.varint(), reader.counted(), reader.varint(U64_MAX))
        possible = values[1] <= BOOT_MAX and values[2][0] <= values[1]
    elif kind == ACK:
        values, possible = (reader.counted(),), True
    elif kind == COMMAND:
        values = (reader.varint(), reader.varint(U64_MAX), reader.varint(U64_MAX), reader.bytes(), reader.bytes())
        possible = 1 <= values[0] <= BOOT_MAX and values[1] > 0 and 1 <= len(values[3]) <= 24 and len(values[4]) <= 128
    else:
        return ()
    reader.end()
    if not possible:
        raise ValueError("an impossible value")
    return values


class Reader:
    """Reads values off a message; ValueError when it is not one."""

    def __init__(self, message):
        if not message or message[0] != VERSION:
            raise ValueError("another version")
        self.rest = message[1:]

    def varint(self, most=2**32 - 1):
        number = shift = 0
        while True:
            if not self.rest or shift > 63:
                raise ValueError("cut short")
            byte, self.rest = self.rest[0], self.rest[1:]
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if number > most or byte == 0 and shift > 7:
                    raise ValueError("too large, or overlong")
                return number

    def counted(self):
        at = (self.varint(), self.varint())
        if at != (0, 0) and not 1 <= at[0] <= BOOT_MAX:
            raise ValueError("an impossible position")
        return at

    def end(self):
        if self.rest:
            raise ValueError("bytes after the last value")

    def bytes(self):
        length = self.varint()
        if length > len(self.rest):
            raise ValueError("cut short")
        value, self.rest = self.rest[:length], self.rest[length:]
        return value


# --- frames --------------------------------------------------------------------------------------------------------


def cobs(data):
    out = bytearray()
    for run in bytes(data).split(b"\0"):
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
        out += bytes([len(run) + 1]) + run
    # The code 1 after a last run of exactly 254 is allowed and stands for nothing; receivers take both forms.
    return bytes(out)


def uncobs(data):
    out, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        run = data[at + 1:at + code]
        if code == 0 or len(run) != code - 1:
            raise ValueError("cut short")
        out += run
        at += code
        if code < 255 and at < len(data):
            out.append(0)
    return bytes(out)


def frame(kind, message):
    body = bytes([kind]) + message
    return b"\0" + cobs(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


def unframe(data):
    body = uncobs(data)
    if len(body) < 5 or struct.unpack("<I", body[-4:])[0] != zlib.crc32(body[:-4]):
        raise ValueError("damaged")
    return body[0], body[1:-4]


# --- what must survive a power cut ---------------------------------------------------------------------------------


class Store:
    """Starts, base, events and name in a file that is replaced at once; a microcontroller would append to flash."""

    def __init__(self, path):
        self.path = path
        self.starts, self.base, self.events = 0, None, []
        self.identity = random.getrandbits(16)  # tells this device from another that was given its name
        self.name = ""  # under which its events went
        if os.path.exists(path):
            with open(path) as file:
                kept = json.load(file)
            defaults = [self.starts, self.base, self.events, self.identity, self.name]
            self.starts, self.base, self.events, self.identity, self.name = kept + defaults[len(kept):]
        self.starts += 1
        self.save()

    def save(self):
        with open(self.path + ".new", "w") as file:
            json.dump([self.starts, self.base, self.events, self.identity, self.name], file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self.path + ".new", self.path)


# --- the device ----------------------------------------------------------------------------------------------------


class Device:
    def __init__(self, name, store, obey):
        self.own_name, self.store, self.obey = name, store, obey
        self.sequence = self.refused = self.damaged = 0
        self.welcomed = self.was_welcomed = False
        self.counted = self.reach = (0, 0)  # what the gateway has; the highest that this start sent
        self.token, self.asked_at = store.identity << 16 | random.getrandbits(16), None
        self.renumber_at, self.renumber_wait = 0.0, 0.0
        self.hello_at, self.hello_wait, self.said_at = 0.0, FIRST_WAIT, None
        self.sent, self.again_at, self.event_wait = 0, 0.0, FIRST_WAIT
        self.time = None  # (gateway's milliseconds, our seconds when we asked)
        self.last_command, self.answered, self.result = 0, None, None
        self.old_hellos = 0  # under the name before, without an answer
        self.name = store.name or name
        self.settle_name(0.0)

    def settle_name(self, now):
        """Goes on under its own name when nothing is left that may have been counted under the one before."""
        if self.store.name == self.own_name:
            return
        if self.store.name and self.old_hellos < OLD_HELLOS_MAX:
            is_earlier = any(event[0] < self.store.starts for event in self.store.events)
            if is_earlier or self.boot() and self.reach[0] == self.boot():
                return
        self.name = self.store.name = self.own_name
        self.store.save()
        self.welcomed = self.was_welcomed = False
        self.counted = self.reach = (0, 0)
        self.asked_at, self.sent, self.hello_at, self.hello_wait = None, 0, now, FIRST_WAIT

    def boot(self):
        return 0 if self.store.base is None else self.store.base + self.store.starts

    def position(self, event):
        return (event[0] + self.store.base, event[1])

    def event(self, now, **fields):
        """Accepts an event, or says that there is no room by False. ValueError: the gateway would refuse it."""
        check(fields, self.time and self.time[0] + (now - self.time[1]) * 1000)
        if len(self.store.events) >= QUEUE_MAX:
            self.refused += 1
            return False
        if self.time and "at_ms" not in fields:
            fields["at_ms"] = int(self.time[0] + (now - self.time[1]) * 1000)
        self.sequence += 1
        body = varint(len(fields)) + b"".join(field(*pair) for pair in fields.items())
        self.store.events.append([self.store.starts, self.sequence, body.hex()])
        self.store.save()
        return True

    def poll(self, now):
        """The frames to be sent now."""
        out = []
        if now >= self.hello_at:
            out.append(frame(HELLO, self.hello(now)))
        if not self.welcomed:
            return out
        if self.result:
            command, outcome, detail = self.result
            message = bytes([VERSION]) + text(self.name) + varint(self.boot()) + varint(command)
            out.append(frame(RESULT, message + varint(outcome) + text(detail)))
            self.result = None
        if now >= self.again_at:
            self.sent = 0
        while self.sent < min(WINDOW, len(self.store.events)):
            event = self.store.events[self.sent]
            at = self.position(event)
            if self.sent == 0:
                if at > self.counted and not precedes(self.counted, at):
                    self.hello_at = now  # one side lost something: say hello with what we have
                    self.again_at = now + self.event_wait
                    break
                self.again_at = now + self.event_wait * random.uniform(1, 1.25)
                self.event_wait = min(self.event_wait * 2, LONGEST_WAIT)
            elif at[0] != self.position(self.store.events[0])[0]:
                break  # the next boot's events go when this one's are acknowledged
            head = bytes([VERSION]) + text(self.name) + varint(at[0]) + varint(at[1])
            out.append(frame(EVENT, head + bytes.fromhex(event[2])))
            self.sent += 1
            self.reach = max(self.reach, at)
        return out

    def hello(self, now):
        self.settle_name(now)
        self.old_hellos += self.name != self.own_name
        self.token = self.token & 0xFFFF0000 | self.token + 1 & 0xFFFF
        self.asked_at = self.said_at = now
        self.hello_at = now + self.hello_wait * random.uniform(1, 1.25)
        self.hello_wait = min(self.hello_wait * 2, LONGEST_WAIT)
        oldest = self.position(self.store.events[0]) if self.boot() and self.store.events else (0, 0)
        numbers = [self.boot(), self.token, *oldest, len(self.store.events), self.refused]
        names = text("python 1") + varint(1) + text("defrost")
        return bytes([VERSION]) + text(self.name) + b"".join(map(varint, numbers)) + names

    def receive(self, data, now):
        """Takes what stood between two zeros."""
        try:
            kind, message = unframe(data)
            values = read(kind, message)
            if kind == WELCOME:
                self.welcome(*values, now)
            elif kind == ACK:
                self.ack(*values, now)
            elif kind == COMMAND:
                self.command(*values, now)
        except ValueError:
            self.damaged += 1

    def welcome(self, token, boot, counted, unix_ms, now):
        if self.asked_at is None or token != self.token:
            return  # an answer to an earlier hello
        asked_at, self.asked_at = self.asked_at, None
        self.old_hellos = 0
        if unix_ms and now - asked_at <= 10:
            self.time = (unix_ms, asked_at)
        used = counted[0] == self.boot() and counted[1] > (self.sequence if self.was_welcomed else 0)
        if self.boot() == 0 or self.boot() < boot or used:
            if boot + self.store.starts > BOOT_MAX:
                return  # no gateway that counts says so
            self.store.base = boot
            self.store.save()
            # At once, but not again and again: two devices with one name would push each other's number up for ever.
            if now > self.renumber_at + 600:
                self.renumber_wait = 0.0
            self.hello_at = max(now, self.renumber_at)
            self.renumber_wait = min(max(2.0, self.renumber_wait * 2), 128.0)
            self.renumber_at = self.hello_at + self.renumber_wait
            self.welcomed, self.sent, self.reach = False, 0, (0, 0)
            return
        if not self.welcomed:
            self.welcomed, self.was_welcomed, self.again_at = True, True, 0.0
        self.hello_at, self.hello_wait = now + HELLO_EVERY, FIRST_WAIT
        self.counted = counted
        self.let_go(now)

    def ack(self, counted, now):
        if not self.welcomed or counted > (self.boot(), self.sequence):
            return
        if counted == (0, 0):
            if self.sent:  # perhaps it does not know us; not if it is said to another device with our name
                again = max(now, self.again_at, (self.said_at or 0) + 5)
                self.hello_at = min(self.hello_at, again)
        elif counted >= self.counted:
            self.counted = counted
            self.let_go(now)

    def let_go(self, now):
        gone, to = 0, min(self.counted, self.reach)  # nothing that this start has not sent, whatever the gateway says
        while gone < len(self.store.events) and self.position(self.store.events[gone]) <= to:
            gone += 1
        if gone:
            del self.store.events[:gone]
            self.store.save()
            self.sent = max(0, self.sent - gone)
            self.event_wait = FIRST_WAIT
            self.again_at = now + FIRST_WAIT if self.sent else 0.0
        self.settle_name(now)

    def command(self, boot, command, expires_ms, name, payload, now):
        if boot != self.boot() or not self.time:
            return  # for an earlier start of this device
        if command <= self.last_command:
            if command == self.last_command:
                self.result = self.answered  # the question for the result
            return
        self.last_command = command
        latest_ms = self.time[0] + (now - self.time[1]) * 1000 * (1 + 1 / 128)
        if latest_ms >= expires_ms:
            self.answered = (command, EXPIRED, "")
        else:
            self.answered = (command, *self.obey(name.decode(), payload))
        self.result = self.answered


def precedes(counted, at):
    """Whether the event at `at` may be counted after `counted`."""
    return at[0] > counted[0] and at[1] == 1 or at == (counted[0], counted[1] + 1)


# --- the line ------------------------------------------------------------------------------------------------------


def open_line(address):
    if address.startswith("tcp:"):
        host, port = address[4:].rsplit(":", 1)
        line = socket.create_connection((host, int(port)))
        return line.fileno(), line
    number = os.open(address, os.O_RDWR | os.O_NOCTTY)
    return number, None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("line")
    parser.add_argument("--name", default="python-1")
    parser.add_argument("--store", default="device.json")
    parser.add_argument("--events", type=int, help="send so many, then end")
    arguments = parser.parse_args()
    freezer = {"defrosts": True}

    def obey(name, payload):
        if name != "defrost":
            return REFUSED, "this freezer obeys defrost only"
        try:
            freezer["defrosts"] = bool(json.loads(payload)["defrost"])
        except (ValueError, KeyError, TypeError):
            return REFUSED, 'the payload is {"defrost": true} or false'
        return DONE, "defrosting" if freezer["defrosts"] else "cooling"

    device = Device(arguments.name, Store(arguments.store), obey)
    number, _line = open_line(arguments.line)
    received, made, event_at = b"", 0, 0.0
    while True:
        now = time.monotonic()
        if now >= event_at and (arguments.events is None or made < arguments.events):
            if device.event(now, celsius=-9.5 if freezer["defrosts"] else -18.5, n=made):
                made += 1
            event_at = now + (10.0 if arguments.events is None else 0.0)
        elif made == arguments.events and not device.store.events and device.last_command and not device.result:
            return
        for data in device.poll(now):
            os.write(number, data)
        if select.select([number], [], [], 0.02)[0]:
            new = os.read(number, 4096)
            if not new:
                sys.exit("device.py: the line was closed")
            *frames, received = (received + new).split(b"\0")
            for data in filter(None, frames):
                device.receive(data, time.monotonic())
            received = received[-512:]  # noise without a zero


if __name__ == "__main__":
    main()
