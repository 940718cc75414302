#!/usr/bin/env python3
"""Says back what contacts write, and accepts who writes first. It has the account of `kez-chat`, which is made with
`kez-chat register`; arguments such as --home DIR go to it."""
import hashlib
import itertools
import json
import queue
import subprocess
import sys
import threading

api = subprocess.Popen(["kez-chat", *sys.argv[1:], "api"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
numbers = itertools.count(1)
lines = queue.Queue()


def call(method, **params):
    number = next(numbers)
    line = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    print(json.dumps(line), file=api.stdin, flush=True)
    return number


def read():  # Always: who writes and does not read waits for who does the same.
    for line in api.stdout:
        lines.put(json.loads(line))
    lines.put(None)


threading.Thread(target=read, daemon=True).start()
events = {}  # By the call that has to be answered before one is handled.
call("subscribe")
for said in iter(lines.get, None):
    if said.get("method") == "event":
        number, event = said["params"]["event_id"], said["params"]["event"]
        if event["kind"] == "message":
            # An event that comes again gets the same answer under the same name: it is sent once.
            name = hashlib.sha256((event["from"]["primary"] + event["id"]).encode()).hexdigest()[:32]
            events[call("send", to=event["from"]["primary"], text=event["text"], id=name)] = number
        elif event["kind"] == "request":
            events[call("accept", who=event["from"]["primary"])] = number
        else:
            call("handled", events=[number])
    elif said.get("id") in events:
        number, error = events.pop(said["id"]), said.get("error")
        if error:
            print(error["message"], file=sys.stderr)
        if not error or error["code"] != 4:  # What waits for the network comes again at the next start.
            call("handled", events=[number])
sys.exit(api.wait())
