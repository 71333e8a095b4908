"""A simulator of its own for each library, its control interface, and a way there for libraries that know Meta's address alone."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("BELLWIRE", ROOT / "target/debug/bellwire"))
NUMBER, ACCOUNT, TOKEN, SECRET, VERIFY = "109876543210123", "102290129340398", "a-token", "a-secret", "a-verify-token"
NINO, GIORGI = "995555123456", "995555654321"
PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d4944415478da63f8ffff3f0005fe02fea7"
                    "9a1d3b0000000049454e44ae426082")
WAIT = 10  # seconds for a webhook; it comes within a tenth


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Simulator:
    """`bellwire simulator`, with webhooks to `hooks`, a port that is free until a library or `Inbox` listens there."""

    def __enter__(self):
        self.hooks = free_port()
        command = [BINARY, "simulator", "--listen", "127.0.0.1:0", "--app-secret", SECRET, "--verify-token", VERIFY,
                   "--access-token", TOKEN, "--business-account-id", ACCOUNT, "--webhook", f"http://127.0.0.1:{self.hooks}/"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.url = re.search(r"http://[0-9.:]+", self.process.stdout.readline()).group()
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def control(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/_simulator/{path}", data=data, timeout=WAIT) as answer:
            return json.load(answer)

    def messages(self):
        return self.control("messages")

    def newest(self):
        return self.messages()[-1]

    def says(self, **what):
        """A person does something; the id of it."""
        return self.control("reply", {"from": "+" + NINO, "phone_number_id": NUMBER} | what)["id"]

    def redirect(self, url):
        """Where a request to Meta goes instead."""
        return re.sub(r"^https://(graph|developers)\.facebook\.com", self.url, str(url))


class Inbox:
    """An address for webhooks that keeps what comes: bytes and signature."""

    def __init__(self, port):
        self.posts, inbox = [], self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = parse_qs(urlsplit(self.path).query)
                self.answer(asked["hub.challenge"][0] if asked["hub.verify_token"][0] == VERIFY else "")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                inbox.posts.append((body, self.headers["x-hub-signature-256"]))
                self.answer("")

            def answer(self, text):
                self.send_response(200)
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, wanted):
        """The first body for whose value this holds."""
        return wait_for(lambda: next((body for body in map(json.loads, [post[0] for post in self.posts])
                                      if wanted(body["entry"][0]["changes"][0]["value"])), None))

    def message(self, wamid):
        return self.wait(lambda value: any(one["id"] == wamid for one in value.get("messages", [])))

    def status(self, wamid, word):
        return self.wait(lambda value: any(one["id"] == wamid and one["status"] == word for one in value.get("statuses", [])))


def wait_for(look):
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"did not come within {WAIT} s")
