"""Asks docs/examples/device.py to take each KIND:MESSAGE, and events that no gateway would; it must refuse all of them."""

import math, pathlib, sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "docs" / "examples"))
sys.dont_write_bytecode = True
import device


def refuses(call, *arguments):
    try:
        call(*arguments)
    except ValueError:
        return True
    return False


for argument in sys.argv[1:]:
    kind, message = argument.split(":")
    assert refuses(device.read, int(kind, 16), bytes.fromhex(message)), argument
now_ms = 1_795_247_385_145
for fields in [{"": 1}, {"device": "x"}, {"boot": 1}, {"sequence": 1}, {"c": math.nan}, {"c": math.inf}, {"at_ms": -1},
               {"at_ms": now_ms + 61_000}]:
    assert refuses(device.check, fields, now_ms), fields
device.check({"celsius": -9.5, "at_ms": now_ms + 59_000}, now_ms)
device.check({"at_ms": now_ms + 61_000}, None)  # nobody knows better
assert device.read(device.ACK, bytes.fromhex("0107ac02")) == ((7, 300),)
