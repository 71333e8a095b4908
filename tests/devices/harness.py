"""The Python client as a program that a test drives: one command a line on standard input, one line of answer each, and a real
connection to a broker beside it. What the commands are is told in tests/it/clients/harness.rs.

    harness.py NAME PORT|serial:PORT STORE|- MEMORY UNIQUE-ID

CPython runs it as it stands; under MicroPython micropython.mjs does, which stands in for its main part below.
"""

import binascii
import struct
import sys

import bellwire


def hexed(data):
    return "x" + binascii.hexlify(data).decode()


def bytes_of(word):
    return binascii.unhexlify(word[1:] if word[:1] == "x" else word)


def text_of(word):
    return bytes_of(word).decode()


def field_of(word):
    name, kind, value = word.split(":", 2)
    if kind == "b":
        value = value == "1"
    elif kind == "i":
        value = int(value)
    elif kind == "f":
        value = float(value)
    else:
        value = text_of(value)
    return (text_of(name), value)


class Client:
    """As much of MQTT 3.1.1 as a device needs, with the names of umqtt.simple. `line`: open, send, receive, close."""

    def __init__(self, line, name):
        self.line, self.received, self.packet, self.callback = line, b"", 0, None
        start = b"\x00\x04MQTT\x04\x02\x00\x3c"
        self.send(0x10, start + self.text(name.encode()))

    def text(self, raw):
        return struct.pack(">H", len(raw)) + raw

    def send(self, kind, body):
        self.line.send(bytes([kind]) + bellwire.varint(len(body)) + body)

    def next_packet(self):
        self.packet = self.packet % 60000 + 1
        return struct.pack(">H", self.packet)

    def set_callback(self, callback):
        self.callback = callback

    def subscribe(self, topic, qos):
        self.send(0x82, self.next_packet() + self.text(topic) + bytes([qos]))

    def publish(self, topic, message, retain, qos):
        self.send(0x30 | qos << 1, self.text(topic) + (self.next_packet() if qos else b"") + message)

    def take(self):
        """The next packet's first byte and body, if it has come."""
        self.received += self.line.receive()
        data, at, length, shift = self.received, 1, 0, 0
        while at < len(data):
            length |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                if len(data) < at + length:
                    break
                self.received = data[at + length :]
                return data[0], data[at : at + length]
        return None

    def check_msg(self):
        packet = self.take()
        if packet is None or packet[0] >> 4 != 3:
            return
        first, body = packet
        at = 2 + struct.unpack(">H", body[:2])[0]
        topic = body[2:at]
        if first & 6 == 2:
            self.send(0x40, body[at : at + 2])
            at += 2
        self.callback(topic, body[at:])


class Losing:
    """A client between which and the device messages are lost, or another name stands in the topics."""

    def __init__(self, harness, client):
        self.harness, self.client = harness, client

    def set_callback(self, callback):
        def arrived(topic, message):
            level = topic.decode().split("/")[-1]
            if not self.harness.is_lost(level):
                callback(self.named(topic, self.harness.device.name), message)

        self.client.set_callback(arrived)

    def named(self, topic, name):
        """The topic with this name if the test wants another than the device's."""
        if not self.harness.topic:
            return topic
        return ("bellwire/device/%s/%s" % (name, topic.decode().split("/")[-1])).encode()

    def subscribe(self, topic, qos):
        self.client.subscribe(self.named(topic, self.harness.topic), qos)

    def check_msg(self):
        self.client.check_msg()

    def publish(self, topic, message, retain, qos):
        level = topic.decode().split("/")[-1]
        self.harness.hellos += level == "hello"
        if not self.harness.is_lost(level):
            self.client.publish(self.named(topic, self.harness.topic), message, retain, qos)


class Uart:
    """The same line as a UART."""

    def __init__(self, harness, line):
        self.harness, self.read = harness, line.receive
        self.line = line

    def write(self, data):
        self.harness.hellos += data[2] == bellwire.HELLO
        self.line.send(data)


class Harness:
    def __init__(self, line, storage, name, port, memory, unique_id, process, seed=None):
        self.is_serial = port.startswith("serial:")
        unique_id = None if unique_id == "-" else bytes_of(unique_id)
        commands = {"defrost": self.defrost}
        self.device = bellwire.Device(name, "python 1", commands, storage, unique_id, int(memory), seed)
        self.line, self.process, self.topic = line, process, None
        self.is_wanted, self.again_at, self.client, self.mqtt = True, 0, None, None
        self.hellos = self.connects = self.obeyed = 0
        self.lose, self.now = {}, 0

    def defrost(self, payload):
        self.obeyed += 1
        return "cooling"

    def is_lost(self, level):
        left = self.lose.get(level, 0)
        self.lose[level] = max(0, left - 1)
        return left > 0

    def disconnect(self):
        self.line.close()
        self.client = self.mqtt = None
        self.again_at = self.now + 100

    def turn(self, now):
        self.now = now
        try:
            if self.client is None:
                if not self.is_wanted or now < self.again_at:
                    return
                self.line.open()
                if self.is_serial:
                    self.connects += 1
                    self.client = self.mqtt = bellwire.Serial(self.device, Uart(self, self.line))
                    return
                self.client = Client(self.line, "%s-%s" % (self.device.name[:30], self.process))
            if self.mqtt is None:
                packet = self.client.take()
                if packet is None:
                    return
                self.connects += 1
                self.mqtt = bellwire.Mqtt(self.device, Losing(self, self.client))
            self.mqtt.turn(now)
        except OSError:
            self.disconnect()

    def emit(self, events, first):
        accepted = 0
        for number in range(int(first), int(first) + int(events)):
            accepted += self.device.event({"celsius": -18.0, "n": number}, self.now)
        return "%d %d" % (accepted, int(events) - accepted)

    def command(self, line):
        what, *words = line.split(" ")
        try:
            return getattr(self, "do_" + what.replace("-", "_"))(*words)
        except ValueError:
            return "refused"

    def do_emit(self, events, first):
        return self.emit(events, first)

    def do_fields(self, *words):
        return "ok" if self.device.event([field_of(word) for word in words], self.now) else "full"

    def do_lose(self, kind, count):
        self.lose[bellwire.LEVELS[int(kind, 16)]] = int(count)
        return "ok"

    def do_line(self, wanted):
        self.is_wanted = wanted == "1"
        if not self.is_wanted:
            self.disconnect()
        return "ok"

    def do_topic(self, name=None):
        self.topic = name
        self.disconnect()
        return "ok"

    def do_status(self):
        device = self.device
        return "boot=%d welcomed=%d queued=%d refused=%d hellos=%d connects=%d obeyed=%d damaged=%d renumbered=%d" % (
            device.boot(),
            device.welcomed,
            len(device.kept.events),
            device.refused,
            self.hellos,
            self.connects,
            self.obeyed,
            device.damaged,
            device.renumbered,
        )

    def do_decode(self, kind, word):
        values = bellwire.decode(int(kind, 16), bytes_of(word))
        words = []
        for value in values:
            for part in value if isinstance(value, tuple) else (value,):
                part = part.encode() if isinstance(part, str) else part
                words.append(hexed(part) if isinstance(part, bytes) else str(part))
        return " ".join(words)

    def do_frame(self, kind, word):
        return hexed(bellwire.frame(int(kind, 16), bytes_of(word)))

    def do_unframe(self, word):
        for data in bytes_of(word).split(b"\x00"):
            if data:
                try:
                    kind, message = bellwire.unframe(data)
                except ValueError:
                    continue
                return "%02x %s" % (kind, hexed(message))
        return "nothing"

    def do_encode_hello(self, device, boot, token, oldest_boot, oldest_sequence, queued, refused, firmware, *commands):
        oldest = (int(oldest_boot), int(oldest_sequence))
        names = [text_of(name) for name in commands]
        numbers = (int(queued), int(refused))
        return hexed(bellwire.encode_hello(text_of(device), int(boot), int(token), oldest, *numbers, text_of(firmware), names))

    def do_encode_event(self, device, boot, sequence, *words):
        fields = bellwire.encode_fields([field_of(word) for word in words])
        return hexed(bellwire.encode_event(text_of(device), (int(boot), int(sequence)), fields))

    def do_encode_result(self, device, boot, number, outcome, detail):
        return hexed(bellwire.encode_result(text_of(device), int(boot), int(number), int(outcome), text_of(detail)))


def main():
    import os
    import select
    import socket
    import time

    class Line:
        socket = None

        def open(self):
            self.socket = socket.create_connection(("127.0.0.1", int(sys.argv[2].split(":")[-1])))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def close(self):
            if self.socket:
                self.socket.close()
            self.socket = None

        def send(self, data):
            self.socket.sendall(data)

        def receive(self):
            if not select.select([self.socket], [], [], 0)[0]:
                return b""
            data = self.socket.recv(65536)
            if not data:
                raise OSError("closed")
            return data

    line = Line()
    storage = bellwire.Memory() if sys.argv[3] == "-" else bellwire.File(sys.argv[3])
    harness = Harness(line, storage, sys.argv[1], sys.argv[2], sys.argv[4], sys.argv[5], os.getpid())
    waiting = b""
    while True:
        inputs = [0] if line.socket is None else [0, line.socket]
        if 0 in select.select(inputs, [], [], 0.01)[0]:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, waiting = (waiting + data).split(b"\n")
            for text in lines:
                print(harness.command(text.decode()), flush=True)
        harness.turn(int(time.monotonic() * 1000))


if __name__ == "__main__" and sys.implementation.name == "cpython":
    main()
