"""A device that loses no event: docs/device-protocol.md for MicroPython 1.20 and later; CPython runs it too.

    device = bellwire.Device("freezer-2", "freezer 1.4", {"defrost": defrost}, bellwire.File("bellwire.log"))
    mqtt = bellwire.Mqtt(device, client)      # client: umqtt.simple's, connected
    while True:
        device.event({"celsius": read()}, now())
        mqtt.turn(now())                      # several times a second; OSError: connect again, then a new Mqtt

A state machine without clock or line: it is handed the time in milliseconds of any clock that never goes back (`Uptime`).
The only modules are binascii, os, struct and time; nothing is computed in floats, which have 32 bits on most boards.
"""

import binascii
import os
import struct
import time

VERSION = 1
HELLO, EVENT, RESULT, WELCOME, ACK, COMMAND, OTHER_VERSION = 0x01, 0x02, 0x03, 0x81, 0x82, 0x83, 0x8F
LEVELS = {
    HELLO: "hello",
    EVENT: "event",
    RESULT: "result",
    WELCOME: "welcome",
    ACK: "ack",
    COMMAND: "command",
    OTHER_VERSION: "version",
}
TO_DEVICE = (WELCOME, ACK, COMMAND, OTHER_VERSION)
DONE, REFUSED, EXPIRED = 0, 1, 2

DEVICE_MAX, NAME_MAX, TEXT_MAX, FIELDS_MAX, COMMANDS_MAX, PAYLOAD_MAX = 32, 24, 64, 12, 8, 128
BOOT_MAX, U32_MAX, U64_MAX = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
RESERVED = ("device", "boot", "sequence")
WINDOW = 8  # events under way at once
HELLO_EVERY_MS, FIRST_MS, LONGEST_MS = 60000, 1000, 64000
REJOINS_MAX, REJOIN_PAUSE_MS = 3, 5000  # reconnections in a minute that bring a hello at once
CALM_MS = 600000  # without a new number; then the next one is taken at once
ROUND_TRIP_MAX_MS = 10000  # a welcome that took longer says too little about the time
AHEAD_MAX_MS = 60000
OLD_HELLOS_MAX = 20  # under the name before, without an answer; then its events go under the new one
FRAME_MAX = 200  # bytes between two zeros that may be a message to a device


# --- 2. values and messages ---


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def text(value, most):
    raw = value.encode() if isinstance(value, str) else bytes(value)
    if len(raw) > most:
        raise ValueError("too long")
    raw.decode()  # what is no UTF-8 would never be acknowledged
    return varint(len(raw)) + raw


def is_device(name):
    good = 1 <= len(name) <= DEVICE_MAX
    for letter in name:
        good = good and "!" <= letter <= "~" and letter not in "/+#"
    return good


def encode_fields(fields, latest_ms=None):
    """The bytes of a dict or of a list of pairs. ValueError: the gateway would refuse it, and all behind it would wait."""
    pairs = list(fields.items()) if isinstance(fields, dict) else fields
    if len(pairs) > FIELDS_MAX:
        raise ValueError("too many fields")
    out = varint(len(pairs))
    seen = set()
    for name, value in pairs:
        if not name or name in RESERVED or name in seen:
            raise ValueError("no field may have this name")
        seen.add(name)
        if name == "at_ms" and not isinstance(value, (bool, float, str)):
            if value < 0 or latest_ms is not None and value > latest_ms + AHEAD_MAX_MS:
                raise ValueError("at_ms is before 1970 or in the future")
        out += text(name, NAME_MAX) + encode_value(value)
    return out


def encode_value(value):
    if isinstance(value, bool):
        return b"\x00\x01" if value else b"\x00\x00"
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError("too large")
        return b"\x01" + varint(value << 1 if value >= 0 else (-value << 1) - 1)
    if isinstance(value, float):
        try:
            raw = struct.pack("<f", value)
        except OverflowError:
            raise ValueError("too large")
        if raw[3] & 0x7F == 0x7F and raw[2] & 0x80:
            raise ValueError("no number, or infinite")
        return b"\x02" + raw
    if not isinstance(value, (str, bytes, bytearray)):
        raise ValueError("a value is a bool, an int, a float or a text")
    return b"\x03" + text(value, TEXT_MAX)


def encode_hello(device, boot, token, oldest, queued, refused, firmware, commands):
    known = oldest == (0, 0) or 1 <= oldest[0] <= boot and oldest[1] > 0
    if not is_device(device) or boot > BOOT_MAX or not known or len(commands) > COMMANDS_MAX:
        raise ValueError("an impossible hello")
    out = b"\x01" + text(device, DEVICE_MAX)
    for number in (boot, token, oldest[0], oldest[1], queued, refused):
        out += varint(number)
    out += text(firmware, NAME_MAX) + varint(len(commands))
    for name in commands:
        out += text(name, NAME_MAX)
    return out


def encode_event(device, at, fields):
    """`fields` are encoded already."""
    if not is_device(device) or not 1 <= at[0] <= BOOT_MAX or at[1] < 1:
        raise ValueError("an impossible event")
    return b"\x01" + text(device, DEVICE_MAX) + varint(at[0]) + varint(at[1]) + fields


def encode_result(device, boot, number, outcome, detail):
    if not is_device(device) or not 1 <= boot <= BOOT_MAX or number < 1:
        raise ValueError("an impossible result")
    head = b"\x01" + text(device, DEVICE_MAX) + varint(boot) + varint(number)
    return head + varint(outcome) + text(detail, TEXT_MAX)


class Reader:
    """Reads values off a message; ValueError when it is not one."""

    def __init__(self, message):
        self.message, self.at = message, 1
        if not message or message[0] != VERSION:
            raise ValueError("another version")

    def varint(self, most=U32_MAX):
        number = shift = 0
        while True:
            if self.at >= len(self.message) or shift > 63:
                raise ValueError("cut short")
            byte = self.message[self.at]
            self.at += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                if number > most or byte == 0 and shift > 7:
                    raise ValueError("too large, or longer than it can be")
                return number

    def counted(self):
        at = (self.varint(), self.varint())
        if at != (0, 0) and not 1 <= at[0] <= BOOT_MAX:
            raise ValueError("an impossible position")
        return at

    def bytes(self, most):
        length = self.varint()
        if length > most:  # before it is an index: on a board one of 32 bits is no machine word
            raise ValueError("too long")
        value = bytes(self.message[self.at : self.at + length])
        if len(value) < length:
            raise ValueError("cut short")
        self.at += length
        return value


def decode(kind, message):
    """The values of a message to a device; ValueError when it is not one."""
    reader = Reader(message)
    if kind == WELCOME:
        values = (reader.varint(), reader.varint(), reader.counted(), reader.varint(U64_MAX))
        possible = values[1] <= BOOT_MAX and values[2][0] <= values[1]
    elif kind == ACK:
        values, possible = (reader.counted(),), True
    elif kind == COMMAND:
        numbers = (reader.varint(), reader.varint(U64_MAX), reader.varint(U64_MAX))
        values = numbers + (reader.bytes(NAME_MAX).decode(), reader.bytes(PAYLOAD_MAX))
        possible = 1 <= values[0] <= BOOT_MAX and values[1] > 0 and len(values[3]) > 0
    else:
        raise ValueError("no message to a device")
    if reader.at != len(message) or not possible:
        raise ValueError("an impossible value, or bytes after the last one")
    return values


# --- 3. the line ---


def frame(kind, message):
    body = bytes([kind]) + message
    body += struct.pack("<I", binascii.crc32(body) & U32_MAX)
    out = bytearray(1)
    for run in body.split(b"\x00"):
        while len(run) >= 254:
            out += b"\xff" + run[:254]
            run = run[254:]
        out.append(len(run) + 1)  # 1 after a last run of exactly 254 is allowed and means nothing
        out += run
    return bytes(out) + b"\x00"


def unframe(data):
    """Kind and message of what stood between two zeros; ValueError when it is damaged."""
    body, at = bytearray(), 0
    while at < len(data):
        code = data[at]
        run = data[at + 1 : at + code]
        if len(run) != code - 1:
            raise ValueError("cut short")
        body += run
        at += code
        if code < 255 and at < len(data):
            body.append(0)
    body = bytes(body)
    if len(body) < 5 or struct.unpack("<I", body[-4:])[0] != binascii.crc32(body[:-4]) & U32_MAX:
        raise ValueError("damaged")
    return body[0], body[1:-4]


class Serial:
    """A device on a UART: `uart.read()` gives None or bytes, `uart.write(bytes)` takes them."""

    def __init__(self, device, uart):
        self.device, self.uart, self.rest = device, uart, b""
        device.connected()

    def turn(self, now):
        self.rest += self.uart.read() or b""
        while True:
            at = self.rest.find(b"\x00")
            if at < 0:
                break
            data, self.rest = self.rest[:at], self.rest[at + 1 :]
            if data:
                try:
                    kind, message = unframe(data)
                except ValueError:
                    self.device.damaged += 1
                    continue
                self.device.receive(kind, message, now)
        self.rest = self.rest[-FRAME_MAX:]  # noise without a zero
        for kind, message in self.device.poll(now):
            self.uart.write(frame(kind, message))


class Mqtt:
    """A device on a client like umqtt.simple's, which is connected. Make a new one after each connect."""

    def __init__(self, device, client):
        self.device, self.client = device, client
        self.now = 0
        client.set_callback(self.arrived)
        for name in {device.name, device.own_name}:
            for kind in TO_DEVICE:
                client.subscribe(topic(name, kind), 1)
        device.connected()

    def arrived(self, said_on, payload):
        for kind in TO_DEVICE:
            if bytes(said_on) == topic(self.device.name, kind):
                self.device.receive(kind, bytes(payload), self.now)
                return

    def turn(self, now):
        self.now = now
        for _ in range(2 * WINDOW):  # a few, so that a flood of them does not keep the application waiting
            self.client.check_msg()
        messages, name = self.device.poll(now), self.device.name
        for kind, message in messages:
            # An event is repeated until the gateway has it: the broker's answer to QoS 1 would only be in the way.
            self.client.publish(topic(name, kind), message, False, 0 if kind == EVENT else 1)


def topic(name, kind):
    return ("bellwire/device/%s/%s" % (name, LEVELS[kind])).encode()


class Uptime:
    """Milliseconds since it was made, without the wrap of `time.ticks_ms`. Call it at least once in three days."""

    def __init__(self):
        self.total, self.last = 0, self.ticks()

    def ticks(self):
        return time.ticks_ms() if hasattr(time, "ticks_ms") else int(time.monotonic() * 1000)

    def __call__(self):
        ticks = self.ticks()
        self.total += time.ticks_diff(ticks, self.last) if hasattr(time, "ticks_diff") else ticks - self.last
        self.last = ticks
        return self.total


# --- what a power cut does not reach ---


class File:
    """Where the journal is kept. For other storage write these three; each returns when it is there, or raises OSError."""

    def __init__(self, path):
        self.path = path

    def read(self):
        try:
            with open(self.path, "rb") as file:
                return file.read()
        except OSError:
            return b""

    def append(self, data):
        with open(self.path, "ab") as file:
            file.write(data)
            sync(file)

    def replace(self, data):
        with open(self.path + ".new", "wb") as file:
            file.write(data)
            sync(file)
        os.rename(self.path + ".new", self.path)


def sync(file):
    file.flush()
    if hasattr(os, "fsync"):
        os.fsync(file.fileno())
    elif hasattr(os, "sync"):
        os.sync()


class Memory:
    """Keeps nothing over a start."""

    def read(self):
        return b""

    def append(self, data):
        pass

    def replace(self, data):
        pass


class Kept:
    """Starts, base, the device's own number, its name and its events: a journal of records, each with a checksum, written anew when it
    has grown to a few times what it is worth."""

    def __init__(self, storage, identity, room, name):
        self.storage, self.room, self.name = storage, room, name
        self.starts, self.base, self.identity = 0, None, identity
        self.events, self.used, self.written = [], 0, 0  # (starts, sequence, moment, fields)
        self.torn = False  # half a record may stand at the end, and what is behind it would not be found
        journal = storage.read()
        at = 0
        while at + 6 <= len(journal):
            length, crc = struct.unpack("<HI", journal[at : at + 6])
            record = journal[at + 6 : at + 6 + length]
            if len(record) != length or not length or binascii.crc32(record) & U32_MAX != crc:
                break  # the power went while this was written: nobody was told that it is there
            self.replay(record)
            at += 6 + length
        self.starts += 1
        self.rewrite()

    def replay(self, record):
        mark, values = record[0], record[1:]
        if mark == 0x53:  # S: starts, base, identity, name
            self.starts, base, self.identity = struct.unpack("<IIH", values[:10])
            self.base = None if base == U32_MAX else base
            self.name = values[10:].decode()
        elif mark == 0x45:  # E: an event
            self.keep(struct.unpack("<IIQ", values[:16]) + (values[16:],))
        elif mark == 0x47:  # G: so many are gone
            self.gone(struct.unpack("<I", values)[0])

    def numbers(self):
        base = U32_MAX if self.base is None else self.base
        return journaled(b"S" + struct.pack("<IIH", self.starts, base, self.identity) + self.name.encode())

    def keep(self, event):
        self.events.append(event)
        self.used += len(event[3]) + 22

    def gone(self, count):
        for event in self.events[:count]:
            self.used -= len(event[3]) + 22
        self.events = self.events[count:]

    def push(self, event):
        if self.used + len(event[3]) + 22 > self.room:
            return False
        self.write(journaled(b"E" + struct.pack("<IIQ", event[0], event[1], event[2]) + event[3]))
        self.keep(event)
        return True

    def pop(self, count):
        before = self.events, self.used
        self.gone(count)
        try:
            if self.torn or self.written > 2 * self.room + 1024:
                self.rewrite()
            else:
                self.write(journaled(b"G" + struct.pack("<I", count)))
        except OSError:
            self.events, self.used = before
            raise

    def set_base(self, base):
        before, self.base = self.base, base
        try:
            self.write(self.numbers())
        except OSError:
            self.base = before
            raise

    def set_name(self, name):
        before, self.name = self.name, name
        try:
            self.write(self.numbers())
        except OSError:
            self.name = before
            raise

    def write(self, data):
        if self.torn:
            self.rewrite()
        self.torn = True
        self.storage.append(data)
        self.torn = False
        self.written += len(data)

    def rewrite(self):
        data = self.numbers()
        for event in self.events:
            data += journaled(b"E" + struct.pack("<IIQ", event[0], event[1], event[2]) + event[3])
        self.storage.replace(data)
        self.torn = False
        self.written = len(data)


def journaled(record):
    return struct.pack("<HI", len(record), binascii.crc32(record) & U32_MAX) + record


# --- 4. what a device does ---


class Retry:
    def __init__(self, due=0):
        self.due, self.wait = due, FIRST_MS

    def tried(self, now, chance):
        self.due = now + self.wait + (self.wait // 4 * chance >> 16)
        self.wait = min(self.wait * 2, LONGEST_MS)


UPTIME = 1 << 63  # marks a moment of our own clock


class Device:
    """`commands`: name to a function that is handed the payload in bytes and returns a few words, or (outcome, words). It is
    called at most once a command, and never late. `room`: bytes of events that wait, 22 and the fields each."""

    def __init__(self, name, firmware, commands=None, storage=None, unique_id=None, room=4096, seed=None):
        self.own_name, self.firmware, self.commands = name, firmware, commands or {}
        seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
        kept = self.kept = Kept(storage or Memory(), seed >> 16, room, name)
        own = kept.identity if unique_id is None else binascii.crc32(unique_id) >> 16 & 0xFFFF
        self.token, self.chance = own << 16 | seed & 0xFFFF, seed & 0xFFFF
        encode_hello(name, 0, 0, (0, 0), 0, 0, firmware, list(self.commands))  # ValueError: a name
        self.sequence = self.refused = 0
        self.damaged = self.stale = self.other_version = self.renumbered = self.repeated = self.late = 0
        self.welcomed = self.was_welcomed = False
        self.counted = self.reach = self.last_sent = (0, 0)
        self.asked_at = None
        self.hello, self.events, self.renumber = Retry(), Retry(), Retry()
        self.again_from = self.renumber_from = self.rejoins = 0
        self.sent = 0
        self.time = None  # (the gateway's milliseconds, when we asked, when we heard)
        self.last_command, self.answered, self.result = 0, None, None
        self.old_hellos = 0
        self.settle_name(0)

    @property
    def name(self):
        """The name that messages go under now: its own, or the one that it had before, as long as events of that time are kept."""
        return self.kept.name

    def settle_name(self, now):
        """Goes on under its own name if nothing is kept that may have been counted under the one before."""
        kept = self.kept
        if kept.name == self.own_name:
            return
        if self.old_hellos < OLD_HELLOS_MAX:
            if kept.events and kept.events[0][0] < kept.starts or self.reach[0] and self.reach[0] == self.boot():
                return
        try:
            kept.set_name(self.own_name)
        except OSError:
            return  # the next hello, or the next event that is let go of, leads here again
        # To the gateway it is another device, which has said nothing yet.
        self.welcomed = self.was_welcomed = False
        self.counted = self.reach = (0, 0)
        self.asked_at, self.sent, self.hello = None, 0, Retry(now)

    def boot(self):
        return self.boot_above(self.kept.base)

    def boot_above(self, base):
        """0: there is no such number."""
        return 0 if base is None or base + self.kept.starts > BOOT_MAX else base + self.kept.starts

    def position(self, event):
        return (0, 0) if self.kept.base is None else (event[0] + self.kept.base, event[1])

    def unix_ms(self, now):
        """The gateway's clock; None: not known yet. The welcome was written half way between hello and arrival."""
        return None if self.time is None else max(0, self.time[0] + now - (self.time[1] + self.time[2]) // 2)

    def latest_ms(self, now):
        """The gateway's clock does not show more than this."""
        since = now - self.time[1]
        return self.time[0] + since + since // 128

    def event(self, fields, now):
        """True: it is accepted, and will be counted once. False: there is no room, or storage failed. ValueError: the gateway
        would refuse it. Both are counted in `refused`, which the gateway is told."""
        accepted = False
        try:
            raw = encode_fields(fields, None if self.time is None else self.latest_ms(now))
            timed = raw[0] < FIELDS_MAX and "at_ms" not in [pair if isinstance(fields, dict) else pair[0] for pair in fields]
            moment = 0 if not timed else now | UPTIME if self.time is None else self.unix_ms(now)
            accepted = self.kept.push((self.kept.starts, self.sequence + 1, moment, raw))
        except OSError:
            pass
        finally:
            if not accepted:
                self.refused += 1
        if accepted:
            self.sequence += 1
        return accepted

    def connected(self):
        """The line is there again."""
        due = self.again_from if self.rejoins >= REJOINS_MAX else self.renumber_from
        self.rejoins += 1
        self.hello.due = min(self.hello.due, due)
        self.events = Retry()

    def tried(self, retry, now):
        self.chance = self.chance * 25173 + 13849 & 0xFFFF  # spreads devices over a quarter of the wait
        retry.tried(now, self.chance)

    def poll(self, now):
        """What is to be sent now: (kind, message) each, all under `name`."""
        out = []
        if now >= self.hello.due:
            out.append((HELLO, self.say_hello(now)))
        if self.welcomed and self.result:
            out.append((RESULT, encode_result(self.name, self.boot(), *self.result)))
            self.result = None
        if self.welcomed:
            self.poll_events(now, out)
        return out

    def poll_events(self, now, out):
        events = self.kept.events
        if now >= self.events.due:
            self.repeated += self.sent
            self.sent = 0
        while self.sent < WINDOW and self.sent < len(events):
            event = events[self.sent]
            at = self.position(event)
            if self.sent == 0:
                self.tried(self.events, now)
                if at > self.counted and not follows(at, self.counted):
                    self.hello.due = now  # one side lost something: the hello says from where on
                    break
            elif at[0] != self.last_sent[0] or not follows(at, self.last_sent):
                break  # the next start's events go when this one's are acknowledged
            out.append((EVENT, encode_event(self.name, at, self.timed(event))))
            self.last_sent = at
            self.reach = max(self.reach, at)
            self.sent += 1

    def timed(self, event):
        """The event's fields, with the time when it happened if that is known."""
        starts, _, moment, raw = event
        if moment & UPTIME:
            known = starts == self.kept.starts and self.time is not None
            moment = self.unix_ms(moment ^ UPTIME) if known else 0
        if not moment:
            return raw
        return bytes([raw[0] + 1]) + raw[1:] + text("at_ms", NAME_MAX) + encode_value(moment)

    def say_hello(self, now):
        self.settle_name(now)
        self.old_hellos += self.name != self.own_name
        self.tried(self.hello, now)
        if now >= self.again_from + HELLO_EVERY_MS - 2 * REJOIN_PAUSE_MS:
            self.rejoins = 0  # the connection held for a heartbeat
        self.again_from = now + REJOIN_PAUSE_MS
        self.token = self.token & 0xFFFF0000 | self.token + 1 & 0xFFFF
        self.asked_at = now
        events = self.kept.events
        oldest = self.position(events[0]) if events else (0, 0)
        return encode_hello(
            self.name, self.boot(), self.token, oldest, len(events), self.refused, self.firmware, list(self.commands)
        )

    def receive(self, kind, message, now):
        """Takes a message from the gateway. Whatever it is, it is survived."""
        try:
            if kind == OTHER_VERSION or message and message[0] != VERSION:
                self.other_version += 1
                return
            values = decode(kind, message)
        except ValueError:  # UnicodeError is one
            self.damaged += 1
            return
        if kind == WELCOME:
            self.welcome(now, *values)
        elif kind == ACK:
            self.ack(now, *values)
        else:
            self.command(now, *values)

    def welcome(self, now, token, boot, counted, unix_ms):
        if self.asked_at is None or token != self.token:
            self.stale += 1
            return
        asked_at, self.asked_at = self.asked_at, None
        self.old_hellos = 0
        if unix_ms and now - asked_at <= ROUND_TRIP_MAX_MS:
            self.time = (unix_ms, asked_at, now)
        own = self.sequence if self.was_welcomed else 0  # before it was welcomed it has sent nothing
        if not self.boot() or self.boot() < boot or counted[0] == self.boot() and counted[1] > own:
            self.take_base(boot, now)
            return
        if not self.welcomed:
            self.events = Retry()
        self.welcomed = self.was_welcomed = True
        self.hello = Retry(now + HELLO_EVERY_MS)
        self.counted = counted
        self.let_go(now)

    def take_base(self, base, now):
        if not self.boot_above(base):
            self.damaged += 1  # the numbers would run out: no gateway that counts says so
            return
        self.renumbered += self.kept.base is not None
        try:
            self.kept.set_base(base)
        except OSError:
            return  # the next hello leads here again
        self.welcomed, self.sent, self.reach = False, 0, (0, 0)
        if now >= self.renumber.due + CALM_MS:
            self.renumber = Retry()
        self.renumber_from = max(now, self.renumber.due)
        self.hello = Retry(self.renumber_from)
        self.again_from = max(self.again_from, self.renumber_from)
        self.tried(self.renumber, self.renumber_from)
        self.renumber.due += self.renumber.due - self.renumber_from  # 2 s to 128 s

    def ack(self, now, counted):
        if not self.welcomed or counted > (self.boot(), self.sequence):
            self.stale += 1
        elif counted == (0, 0):
            if self.sent:  # perhaps it does not know us; over MQTT it may be said to another one with our name
                self.hello.due = min(self.hello.due, max(now, self.events.due, self.again_from))
        elif counted < self.counted:
            self.stale += 1
        else:
            self.counted = counted
            self.let_go(now)

    def let_go(self, now):
        to = min(self.counted, self.reach)  # no word of the gateway's makes it drop what this start never said
        gone = 0
        for event in self.kept.events:
            if self.position(event) > to:
                break
            gone += 1
        if not gone:
            return
        try:
            self.kept.pop(gone)
        except OSError:
            return  # they are sent again, and let go of then
        self.sent = max(0, self.sent - gone)
        self.events = Retry()
        if self.sent:
            self.tried(self.events, now)
        self.settle_name(now)

    def command(self, now, boot, number, expires_ms, name, payload):
        if boot != self.boot() or self.time is None:
            return  # for an earlier start of this device
        if number <= self.last_command:
            if number == self.last_command:
                self.result = self.answered  # the question for the result
            return
        self.last_command = number
        if self.latest_ms(now) >= expires_ms:
            self.late += 1
            outcome, words = EXPIRED, ""
        else:
            outcome, words = self.obey(name, payload)
        while len(words.encode()) > TEXT_MAX:
            words = words[:-1]
        self.result = self.answered = (number, outcome, words)

    def obey(self, name, payload):
        if name not in self.commands:
            return REFUSED, "no such command"
        try:
            answer = self.commands[name](payload)
        except Exception as error:
            return REFUSED, str(error)
        return answer if isinstance(answer, tuple) else (DONE, answer or "")


def follows(at, counted):
    return at[0] > counted[0] and at[1] == 1 or at == (counted[0], counted[1] + 1)
