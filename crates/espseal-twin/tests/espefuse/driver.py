"""Applies operations to virtual eFuses with espefuse's public Python API, one JSON line at a time.

A request is {"chip", "file", "operations": [...]}, the file in hex, empty for a blank chip; the answer is a list with, for each operation,
{"refused": message or null, "file": the whole eFuse file in hex}.

Starting espefuse for a chip costs more than ten operations. So each operation runs in a child
process: when it is accepted the child goes on, when it is refused the parent does, in which nothing
is left of the attempt.
"""

import contextlib
import io
import json
import os
import sys
import tempfile

import espefuse

REFUSED = 3
FOLDER = tempfile.mkdtemp()
FILE = os.path.join(FOLDER, "efuse.bin")
ANSWERS = os.path.join(FOLDER, "answers")


def start(chip):
    return espefuse.init_commands(
        chip=chip, virt=True, virt_efuse_file=FILE, do_not_confirm=True
    )


def perform(commands, operation):
    name = operation["name"]
    files = [io.BytesIO(bytes.fromhex(text)) for text in operation.get("files", [])]
    for index, file in enumerate(files):
        file.name = f"input{index}"
    if name == "burn_key":
        arguments = [operation["blocks"], files]
        if operation["purposes"]:
            arguments.append(operation["purposes"])
        commands.burn_key(*arguments, **operation["options"])
    elif name == "burn_block_data":
        commands.burn_block_data(operation["blocks"], files, operation["offset"])
    elif name == "burn_efuse":
        commands.burn_efuse(dict(operation["values"]))
    elif name == "burn_bit":
        commands.burn_bit(operation["block"], operation["bits"])
    elif name == "read_protect":
        commands.read_protect_efuse(operation["fields"])
    else:
        commands.write_protect_efuse(operation["fields"])


def contents():
    if not os.path.exists(FILE):
        return b""
    with open(FILE, "rb") as file:
        return file.read()


def attempt(commands, operation):
    """Returns why espefuse refuses, or None."""
    refused = None
    try:
        perform(commands, operation)
    except Exception as error:
        refused = f"{type(error).__name__}: {error}"
    with open(ANSWERS, "a") as answers:
        print(json.dumps({"refused": refused, "file": contents().hex()}), file=answers)
    return refused


def play(chip, commands, operations):
    for operation in operations:
        before = contents()
        child = os.fork()
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if status != REFUSED:
                os._exit(status)
            if contents() != before:
                # Something was burnt all the same.
                commands = start(chip)
            continue
        if attempt(commands, operation):
            os._exit(REFUSED)
        if "CODING_SCHEME" in str(operation.get("values")) or (
            chip == "esp32" and operation.get("block") == "BLOCK0"
        ):
            # It measures the blocks when it starts.
            commands = start(chip)
    os._exit(0)


def main():
    started = {}
    for line in sys.stdin:
        request = json.loads(line)
        chip, given = request["chip"], bytes.fromhex(request["file"])
        if os.path.exists(ANSWERS):
            os.remove(ANSWERS)
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            if (chip, given) not in started:
                if os.path.exists(FILE):
                    os.remove(FILE)
                if given:
                    with open(FILE, "wb") as file:
                        file.write(given)
                started[chip, given] = (start(chip), contents())
            commands, first = started[chip, given]
            with open(FILE, "wb") as file:
                file.write(first)
            sys.stdout.flush()
            child = os.fork()
            if not child:
                play(chip, commands, request["operations"])
            os.waitpid(child, 0)
        with open(ANSWERS) as answers:
            print(json.dumps([json.loads(answer) for answer in answers]), flush=True)


main()
