#!/usr/bin/env python3
"""The page in a real browser, at the width of a phone and of a desk: a story each from the first visit to logging out, on a
gateway, a broker and a simulated Cloud API of its own. Writes a picture of each page, light and dark, into target/pictures.

    tests/browser/run.py             both widths
    tests/browser/run.py 360         one
"""

import os
import subprocess
import sys
from pathlib import Path

from history import a_day
from parts import ROOT, Parts

HERE = Path(__file__).parent
PICTURES = ROOT / "target/pictures"


def run(script, parts, width):
    names = dict(BASE=parts.url(""), API=f"http://127.0.0.1:{parts.api}", BROKER=str(parts.broker), CODE=parts.code(), CONFIG=str(parts.config),
                 WIDTH=str(width), PICTURES=str(PICTURES))
    with open(PICTURES / "said.txt", "w+") as said:
        code = subprocess.run(["node", HERE / script], env=os.environ | names, stderr=said, timeout=300).returncode
        said.seek(0)
        if code:
            raise SystemExit(f"{script} at {width} px:\n{said.read()}")


def main():
    PICTURES.mkdir(parents=True, exist_ok=True)
    for width in [int(word) for word in sys.argv[1:]] or [1440, 360]:
        with Parts() as parts:
            try:
                run("story.mjs", parts, width)
                parts.stop_gateway()
                a_day(parts.folder / "state/bellwire.db")
                managed = parts.config.read_text().replace("[http]", "[http]\nedit = false")
                parts.config.write_text(managed)
                parts.start_gateway()
                run("pictures.mjs", parts, width)
            except BaseException:
                print(parts.log()[-6000:], file=sys.stderr)
                raise


if __name__ == "__main__":
    main()
