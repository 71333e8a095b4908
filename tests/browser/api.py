#!/usr/bin/env python3
"""The API against its own description: schemathesis asks a running gateway for everything that openapi.json promises, with
right and wrong values. Connecting a number is left to tests/it/web/numbers.rs: with made-up values it would ask Meta."""

import http.cookiejar
import re
import subprocess
import sys
import urllib.parse
import urllib.request

from parts import Parts, wait_for

PASSWORD = "correct horse"
ASKS_META = ["connect_new", "change_connection", "whatsapp_connect"]
# It would take back its own token; tests/it/web/opened.rs asks for these.
TAKES_BACK = ["revoke_token"]
# A text made up is no configuration; tests/it/web/configuration.rs saves some.
SAVES = ["replace_configuration"]


def token(parts):
    """One that may do everything, made on the page."""
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def send(path, **fields):
        data = urllib.parse.urlencode(fields).encode()
        return browser.open(parts.url(path), data).read().decode()

    page = send("/welcome", code=parts.code(), password=PASSWORD, again=PASSWORD)
    csrf = re.search(r'data-csrf="([0-9a-f]+)"', page)[1]
    page = send("/tokens", csrf=csrf, name="schemathesis", read="on", act="on", events="on", manage="on", configure="on")
    return re.search(r'id="token">([^<]+)<', page)[1]


def main():
    with Parts() as parts:
        secret = token(parts)
        for unit in range(3):
            parts.publish(f"site/bar/freezer/{unit}/temperature", '{"celsius": -12.5}')
        ask = urllib.request.Request(parts.url("/api/alerts"), headers={"authorization": f"Bearer {secret}"})
        wait_for(10, "the alerts", lambda: urllib.request.urlopen(ask).read().count(b'"rule"') >= 3)
        command = [sys.executable, "-m", "schemathesis.cli", "run", parts.url("/api/openapi.json"), "--url", parts.url(""),
                   "-H", f"Authorization: Bearer {secret}", "--checks", "all", "--phases", "examples,coverage,fuzzing",
                   "--max-examples", "25", "--seed", "8", "--workers", "1", "--suppress-health-check", "all"]
        for name in ASKS_META + TAKES_BACK + SAVES:
            command += ["--exclude-operation-id", name]
        done = subprocess.run(command + sys.argv[1:])
        if done.returncode:
            print(parts.log()[-3000:], file=sys.stderr)
            sys.exit(done.returncode)


if __name__ == "__main__":
    main()
