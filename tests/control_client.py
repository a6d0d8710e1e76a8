"""Steers a broadcast over its control socket; written from docs/reference/control.md alone.

Usage: control_client.py SOCKET METHOD PARAMS [SECONDS]: prints the result, then events for SECONDS.
"""

import json
import socket
import sys


def main(path, method, params, seconds="0"):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    lines = connection.makefile("rw", encoding="utf-8")
    hello = json.loads(lines.readline())
    assert hello["method"] == "hello" and hello["params"]["protocol"] >= 1, hello
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": json.loads(params)}
    lines.write(json.dumps(request) + "\n")
    lines.flush()
    answer = json.loads(lines.readline())
    if "error" in answer:
        sys.exit(f"{answer['error']['code']}: {answer['error']['message']}")
    print(json.dumps(answer["result"]))
    connection.settimeout(float(seconds) or None)
    while float(seconds):
        try:
            print(lines.readline().strip(), flush=True)
        except TimeoutError:
            break


main(*sys.argv[1:])
