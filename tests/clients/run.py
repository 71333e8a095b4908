#!/usr/bin/env python3
"""Five client libraries of other people do what they document, against `bellwire simulator`: each call must answer as the library
expects, and be on the phone as it was meant. Webhooks go back to them: pywa is a server, the others parse and verify.

    tests/clients/run.py             all of them
    tests/clients/run.py with_pywa   one; `.py` and `.mjs` are found by themselves
"""

import importlib
import os
import subprocess
import sys
import time
from pathlib import Path

from simulator import ACCOUNT, NUMBER, SECRET, TOKEN, VERIFY, Simulator

HERE = Path(__file__).parent
ALL = ["with_pywa.py", "with_pywa_as_server.py", "with_heyoo.py", "with_whatsapp_python.py", "with_whatsapp_api_js.mjs",
       "with_great_detail.mjs"]
LONGEST = 60  # seconds for one; all of them take about ten


def run(script):
    with Simulator() as simulator:
        if script.endswith(".mjs"):
            names = dict(API=simulator.url, NUMBER=NUMBER, ACCOUNT=ACCOUNT, TOKEN=TOKEN, SECRET=SECRET, VERIFY=VERIFY,
                         HOOKS=str(simulator.hooks))
            subprocess.run(["node", HERE / script], env=os.environ | names, check=True, timeout=LONGEST)
        else:
            importlib.import_module(script.removesuffix(".py")).run(simulator)


def main():
    wanted = [one for one in ALL if not sys.argv[1:] or any(one.startswith(word) for word in sys.argv[1:])]
    if not wanted:
        raise SystemExit(f"there is no such library here; there are {', '.join(ALL)}")
    for script in wanted:
        started = time.monotonic()
        run(script)
        print(f"{script}: {time.monotonic() - started:.1f} s", flush=True)


if __name__ == "__main__":
    main()
