"""Calls a command-line tool of the environment many times in one process.

Reads one JSON object a line: {"argv": [...], "folder": "...", "input": "hex"}.
Answers one JSON object a line: {"code": n, "output": "hex", "messages": "hex"}.
The tool is entered through its console script's own entry point (or its `main`), with file descriptors 0 to 2
exchanged for files, so it behaves as it does when it is started by itself.
"""

import importlib
import json
import os
import sys
import tempfile
import traceback

name = sys.argv[1]
module = importlib.import_module(name)
entry = getattr(module, "_main", None) or module.main
answers = os.fdopen(os.dup(1), "w")
requests = os.fdopen(os.dup(0), "r")
streams = [tempfile.TemporaryFile() for _ in range(3)]
for descriptor, stream in enumerate(streams):
    os.dup2(stream.fileno(), descriptor)
sys.stdin, sys.stdout, sys.stderr = (os.fdopen(d, m, closefd=False) for d, m in ((0, "r"), (1, "w"), (2, "w")))

for line in requests:
    request = json.loads(line)
    for stream in streams:
        os.ftruncate(stream.fileno(), 0)
        os.lseek(stream.fileno(), 0, os.SEEK_SET)
    os.write(streams[0].fileno(), bytes.fromhex(request["input"]))
    os.lseek(streams[0].fileno(), 0, os.SEEK_SET)
    sys.stdin = os.fdopen(0, "r", closefd=False)
    os.chdir(request["folder"])
    sys.argv = [name, *request["argv"]]
    try:
        result = entry()
        code = result if isinstance(result, int) else 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else (0 if exit.code is None else 1)
        if isinstance(exit.code, str):
            sys.stderr.write(exit.code)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    texts = []
    for stream in streams[1:]:
        os.lseek(stream.fileno(), 0, os.SEEK_SET)
        texts.append(os.read(stream.fileno(), 1 << 26))
    answers.write(json.dumps({"code": code, "output": texts[0].hex(), "messages": texts[1].hex()}) + "\n")
    answers.flush()
