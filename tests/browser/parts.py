"""The parts that a browser test needs: a broker, the simulated Cloud API, the gateway, each a process of its own."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import tty
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BELLWIRE", ROOT / "target/debug/bellwire"))

CONFIG = """
[site]
name = "Corner Bakery"
time_zone = "Asia/Tbilisi"
state_directory = "{folder}/state"
owner = ["nino"]
[http]
listen = "127.0.0.1:{http}"
[mqtt]
url = "mqtt://127.0.0.1:{broker}"
[[contact]]
id = "nino"
name = "Nino Beridze"
phone = "+995 555 12 34 56"
roles = ["manager"]
[[contact]]
id = "giorgi"
name = "Giorgi"
phone = "+995 555 65 43 21"
roles = ["kitchen"]
[[contact]]
id = "anna"
name = "Anna Weber"
phone = "+49 151 00000000"
may_stop = false
[[team]]
id = "kitchen"
members = ["nino", "giorgi"]
[[rule]]
name = "freezer-too-warm"
topic = "site/{{area}}/freezer/{{unit}}/temperature"
when = "payload.celsius > -15"
severity = "critical"
resolve_when = "payload.celsius < -17"
value = "payload.celsius"
chart = "6h"
message = "🧊 Freezer {{{{ unit }}}} in the {{{{ area }}}} is at {{{{ payload.celsius | round(1) }}}} °C"
notify = ["kitchen"]
[[rule.action]]
id = "stop"
title = "Stop defrost"
topic = "site/{{area}}/freezer/{{unit}}/set"
payload = '{{"defrost": false}}'
[[rule.action]]
id = "later"
title = "I look at it"
topic = "site/{{area}}/freezer/{{unit}}/seen"
payload = "seen"
[[rule]]
name = "door-open"
topic = "site/{{area}}/door/{{door}}"
when = "payload == 'open'"
message = "🚪 The {{{{ door }}}} door of the {{{{ area }}}} is open"
notify = ["giorgi"]
[[rule]]
name = "till-paper"
topic = "pos/{{till}}/paper"
severity = "info"
message = "🧾 Till {{{{ till }}}} is out of paper"
notify = ["anna"]
on_unknown = "hold"
[[rule]]
name = "cold-room"
topic = "bellwire/device/{{device}}/event"
when = "payload.celsius > 0"
value = "payload.celsius"
message = "🧊 {{{{ device }}}} is at {{{{ payload.celsius }}}} °C"
notify = ["giorgi"]
[[command]]
name = "defrost"
words = "defrost {{device}}"
topic = "bellwire/device/{{device}}/command/defrost"
payload = '{{"defrost": true}}'
roles = ["manager"]
[[command]]
name = "gate"
words = "open the gate"
topic = "site/yard/gate/set"
payload = "OPEN"
approvals = 2
[[ask]]
name = "refund"
topic = "pos/{{till}}/refund"
text = "Till {{{{ till }}}}: refund of {{{{ payload.amount }}}} GEL?"
choices = ["Approve", "Deny"]
who = ["nino", "giorgi"]
within = "30m"
default = "Deny"
response_topic = "pos/{{till}}/decision"
[[serial]]
path = "{serial}"
"""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(seconds, what, reached):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = reached()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


class Cable:
    """A serial line: the gateway opens `path`, the device the other end over TCP."""

    def __init__(self):
        self.end, port = os.openpty()
        tty.setraw(port)
        self.path = os.ttyname(port)
        self.port = port  # kept open, so that the line stays when the gateway closes it
        self.server = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp:127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        device, _ = self.server.accept()
        threading.Thread(target=self.copy, args=(device.recv, lambda data: os.write(self.end, data)), daemon=True).start()
        self.copy(lambda size: os.read(self.end, size), device.sendall)

    @staticmethod
    def copy(read, write):
        try:
            while data := read(4096):
                write(data)
        except OSError:
            pass  # the test is over


class Parts:
    def __init__(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name)
        self.http, self.api, self.broker = free_port(), free_port(), free_port()
        self.processes = []
        self.cable = Cable()
        names = dict(serial=self.cable.path, folder=self.folder, http=self.http, api=self.api, broker=self.broker)
        self.config = self.folder / "bellwire.toml"
        self.config.write_text(CONFIG.format(**names))
        (self.folder / "broker.conf").write_text(f"listener {self.broker} 127.0.0.1\nallow_anonymous true\n")

    def __enter__(self):
        mosquitto = next(p for p in ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"] if Path(p).exists())
        self.start([mosquitto, "-c", self.folder / "broker.conf"], "broker.log")
        webhook = f"http://127.0.0.1:{self.http}/webhook/whatsapp"
        self.start([BINARY, "simulator", "--listen", f"127.0.0.1:{self.api}", "--webhook", webhook, "--app-secret", "secret",
                    "--verify-token", "verify", "--access-token", "token", "--business-account-id", "102290129340398"], "simulator.log")
        wait_for(10, "the simulator", lambda: self.answers(self.api))
        wait_for(10, "the broker", lambda: self.answers(self.broker))
        self.start_gateway()
        device = ROOT / "docs/examples/device.py"
        self.start([sys.executable, device, self.cable.address, "--name", "cold-room-1", "--store", self.folder / "device.json"], "device.log")
        return self

    def start_gateway(self):
        self.gateway = self.start([BINARY, "run", "--config", self.config], "log")
        wait_for(15, "the gateway", self.ready)

    def stop_gateway(self):
        self.gateway.terminate()
        self.gateway.wait()

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
        self.temporary.cleanup()

    def start(self, command, log):
        words = [str(word) for word in command]
        with open(self.folder / log, "ab") as file:
            process = subprocess.Popen(words, stderr=file, stdout=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    @staticmethod
    def answers(port):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    def ready(self):
        try:
            return urllib.request.urlopen(self.url("/readyz")).status == 200
        except OSError:
            return False

    def url(self, path):
        return f"http://127.0.0.1:{self.http}{path}"

    def log(self):
        return (self.folder / "log").read_text()

    def code(self):
        plain = re.sub(r"\x1b\[[0-9;]*m", "", self.log())
        return re.search(r'code="?([0-9A-Z]{5}-[0-9A-Z]{5})', plain)[1]

    def publish(self, topic, payload):
        subprocess.run(["mosquitto_pub", "-p", str(self.broker), "-q", "1", "-t", topic, "-m", payload], check=True)

    def control(self, path, body=None, method="POST"):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.api}/_simulator{path}", data, {"content-type": "application/json"}, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")
