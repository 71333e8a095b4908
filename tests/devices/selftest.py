"""What no broker can show of the Python client: power that goes at each write, storage that fails, an hour with a twin, and noise.

Time is a number here. CPython runs it as it stands, and micropython.mjs in MicroPython. AssertionError: something is wrong.
"""

import sys

import bellwire


class Off(Exception):
    """The power is gone."""


class Dice:
    def __init__(self, seed):
        self.state = seed

    def roll(self, below):
        self.state = (self.state * 1103515245 + 12345) & 0x7FFFFFFF
        return (self.state >> 8) % below


class Flash:
    """Half an append may be there after a power cut or a fault; what replaces all is there or not."""

    def __init__(self, dice):
        self.dice, self.data, self.writes, self.until_cut, self.fails = dice, b"", 0, None, 0

    def read(self):
        return self.data

    def append(self, data):
        self.writes += 1
        is_off = self.until_cut is not None and self.writes > self.until_cut
        if is_off or self.dice.roll(16) < self.fails:
            self.data += data[: self.dice.roll(len(data))]
            if is_off:
                raise Off()
            raise OSError(5)
        self.data += data

    def replace(self, data):
        before, self.data = self.data, b""
        try:
            self.append(data)
        except (Off, OSError):
            self.data = before
            raise


class Gateway:
    """Counts."""

    def __init__(self):
        self.highest, self.counted, self.numbers = 0, (0, 0), []

    def answer(self, kind, message):
        reader = bellwire.Reader(message)
        reader.bytes(32)
        boot, second = reader.varint(), reader.varint()
        if kind == bellwire.HELLO:
            oldest = (reader.varint(), reader.varint())
            assert oldest <= self.counted or bellwire.follows(oldest, self.counted), oldest
            self.highest = max(self.highest, boot)
            numbers = (second, self.highest) + self.counted + (0,)
            return bellwire.WELCOME, b"\x01" + b"".join([bellwire.varint(number) for number in numbers])
        if bellwire.follows((boot, second), self.counted):
            assert message[reader.at : reader.at + 4] == b"\x01\x01n\x01", message
            reader.at += 4
            self.numbers.append(reader.varint() >> 1)
            self.counted = (boot, second)
        return bellwire.ACK, b"\x01" + bellwire.varint(self.counted[0]) + bellwire.varint(self.counted[1])

    def compare(self, accepted):
        """Each number once and in order; one that was refused as the power went may be there."""
        at = 0
        for number, is_sure in accepted:
            is_here = self.numbers[at : at + 1] == [number]
            assert is_here or not is_sure, (number, self.numbers)
            at += is_here
        assert at == len(self.numbers)


class World:
    def __init__(self, seed):
        self.dice, self.gateway, self.now = Dice(seed), Gateway(), 1000
        self.flash = Flash(self.dice)
        self.device = None

    def start(self, name="f"):
        self.device = bellwire.Device(name, "py", {}, self.flash, None, 600, self.dice.roll(1 << 20))

    def exchange(self):
        for _ in range(20):
            for kind, message in self.device.poll(self.now):
                if self.dice.roll(3):
                    self.device.receive(*self.gateway.answer(kind, message), self.now)
            self.now += 1000

    def finish(self):
        for _ in range(20):
            self.exchange()
        assert self.device.welcomed and not self.device.kept.events


def power_goes_at_each_write(cuts):
    seen = 0
    for cut in range(cuts):
        world = World(cut + 1)
        accepted, number = [], 1
        for life in range(6):
            world.flash.until_cut = cut // 3 + world.dice.roll(9) if life < 5 else None
            world.flash.writes = 0
            try:
                world.start()
                for turn in range(24):
                    number += 1
                    accepted.append((number, False))
                    if world.device.event({"n": number}, world.now):
                        accepted[-1] = (number, True)
                    if turn % 6 == 5:
                        world.exchange()
            except Off:
                seen += 1
            yield
        world.finish()
        world.gateway.compare(accepted)
        yield
    assert seen > 2 * cuts, seen
    yield "%d power cuts: each accepted event was counted once, in order" % seen


def storage_fails_now_and_then(rounds):
    counted = starts = 0
    for round in range(rounds):
        world = World(round + 1)
        world.start()
        world.exchange()
        accepted = []
        world.flash.fails = 1 + round % 8
        for number in range(1, 101):
            accepted.append((number, world.device.event({"n": number}, world.now)))
            if number % 15 == 0:
                world.exchange()
                yield
            while world.dice.roll(8) == 0:
                starts += 1
                try:
                    world.start()
                except OSError:
                    pass  # the device before goes on: its start was not written down
        world.flash.fails = 0
        world.start()
        world.finish()
        world.gateway.compare(accepted)
        counted += len(world.gateway.numbers)
        yield
    yield "storage that fails: %d events accepted and counted over %d starts" % (counted, starts)


def an_hour_with_a_twin():
    """The gateway tells of a higher number each time, as it does when it cannot tell two of one name apart."""
    world = World(3)
    world.start()
    hellos, before = 0, world.flash.writes
    while world.now < 3600000:
        for kind, message in world.device.poll(world.now):
            hellos += 1
            world.gateway.highest += 3
            world.device.receive(*world.gateway.answer(kind, message), world.now)
            yield
        world.now += 250
    writes = world.flash.writes - before
    assert hellos <= 60 and writes <= 60, (hellos, writes)
    yield "an hour with a twin: %d hellos, %d writes" % (hellos, writes)


def nobody_answers_to_the_name_before():
    """An access list at the broker may forbid it; what was kept must not wait for ever."""
    world = World(9)
    world.start()
    assert world.device.event({"n": 1}, world.now)
    world.start("g")
    names = ""
    while world.now < 3600000:
        for kind, message in world.device.poll(world.now):
            assert kind == bellwire.HELLO
            names += chr(message[2])
        world.now += 500
        if world.now % 100000 == 0:
            yield
    assert names.count("f") == 20 and names.rstrip("g") == 20 * "f" and len(names) > 20, names
    world.exchange()
    world.finish()
    assert world.gateway.numbers == [1] and world.device.name == "g"
    yield "a name that nobody answers to: given up after 20 hellos"


def noise(messages):
    world = World(5)
    world.start()
    device, dice = world.device, world.dice
    kinds = bellwire.TO_DEVICE + (bellwire.HELLO, 0)
    for turn in range(messages):
        most = 256 if turn % 3 == 0 else 4
        data = bytes([dice.roll(most) for _ in range(dice.roll(300 if turn % 8 == 0 else 12))])
        device.receive(kinds[dice.roll(len(kinds))], b"\x01" + data if turn % 5 else data, world.now)
        try:
            bellwire.unframe(data.replace(b"\x00", b"\x01"))
        except ValueError:
            pass
        device.poll(world.now)
        world.now += 20
        if turn % 50 == 0:
            yield
    assert device.damaged > messages // 4
    yield "noise: %d messages refused" % device.damaged


def all_parts():
    """Yields what to print, and None in between: in WebAssembly MicroPython finds garbage between two calls only."""
    alone = (an_hour_with_a_twin(), nobody_answers_to_the_name_before(), noise(10000))
    for part in (power_goes_at_each_write(120), storage_fails_now_and_then(40)) + alone:
        for said in part:
            yield said


if __name__ == "__main__" and sys.implementation.name == "cpython":
    for line in all_parts():
        if line:
            print(line)
