"""Runs trees of commands on virtual eFuses with espefuse's public Python API, one JSON line at a time.

A request is {"chip", "start": eFuse file in hex, "tree": [node, ...]}, a node {"id", "words": [...],
"files": {name: hex}, "children": [node, ...]}. The answer is {"id": eFuse file in hex, or null when espefuse
refuses}. Plans share their first steps: each node is done once, in a child process that then goes on to
the node's children, while the parent goes on to its siblings with nothing done.
"""

import contextlib
import io
import json
import os
import sys
import tempfile

import espefuse

FOLDER = tempfile.mkdtemp()
FILE = os.path.join(FOLDER, "efuse.bin")
ANSWERS = os.path.join(FOLDER, "answers")
TIMED_OUT = 75
TRIES = 5


def groups(words, count):
    return [words[at : at + count] for at in range(0, len(words), count)]


def perform(chip, commands, words, files):
    def opened(name):
        file = io.BytesIO(bytes.fromhex(files[name]))
        file.name = name
        return file

    command, words = words[0], words[1:]
    if command == "burn-key" and chip == "esp32":
        pairs = groups(words, 2)
        commands.burn_key([row[0] for row in pairs], [opened(row[1]) for row in pairs])
    elif command == "burn-key":
        rows = groups(words, 3)
        commands.burn_key(
            [row[0] for row in rows], [opened(row[1]) for row in rows], [row[2] for row in rows]
        )
    elif command == "burn-efuse":
        commands.burn_efuse({name: int(value, 16) for name, value in groups(words, 2)})
    elif command == "read-protect-efuse":
        commands.read_protect_efuse(words)
    elif command == "write-protect-efuse":
        commands.write_protect_efuse(words)
    else:
        raise ValueError(command)


def walk(chip, commands, nodes, files, before):
    for node in nodes:
        # espefuse waits for its virtual chip by the clock, and a busy machine lets it wait too long.
        for _ in range(TRIES):
            with open(FILE, "wb") as file:
                file.write(before)
            child = os.fork()
            if not child:
                descend(chip, commands, node, files)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code != TIMED_OUT:
                break
        if code:
            os._exit(1)


def descend(chip, commands, node, files):
    after = None
    try:
        perform(chip, commands, node["words"], files)
        with open(FILE, "rb") as file:
            after = file.read()
    except Exception as error:
        if "Timed out" in str(error):
            os._exit(TIMED_OUT)
        print(error, file=sys.stderr)
    with open(ANSWERS, "a") as answers:
        print(node["id"], after.hex() if after is not None else "-", file=answers)
    if after is not None:
        walk(chip, commands, node["children"], files, after)
    os._exit(0)


def main():
    for line in sys.stdin:
        request = json.loads(line)
        start = bytes.fromhex(request["start"])
        open(ANSWERS, "w").close()
        with open(FILE, "wb") as file:
            file.write(start)
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            commands = espefuse.init_commands(
                chip=request["chip"], virt=True, virt_efuse_file=FILE, do_not_confirm=True
            )
            sys.stdout.flush()
            walk(request["chip"], commands, request["tree"], request["files"], start)
        with open(ANSWERS) as answers:
            rows = [row.split() for row in answers]
        print(json.dumps({row[0]: None if row[1] == "-" else row[1] for row in rows}), flush=True)


main()
