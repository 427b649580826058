"""Writes the transcripts of 10,000 sessions of a coding agent, as agentsview reads them."""

import json
import pathlib
import random
import sys
import uuid

numbers = random.Random(1)
names = ["Fix the login form", "Review the billing job", "Migrate the search page", "Document the API client"]


def new_id():
    return str(uuid.UUID(int=numbers.getrandbits(128), version=4))


def line(session, number, minute, kind, message):
    day = f"2026-{1 + number % 11:02}-{1 + number % 28:02}"
    return json.dumps({
        "type": kind, "uuid": new_id(), "sessionId": session, "cwd": f"/work/repo-{number % 40}", "version": "2.0.0",
        "timestamp": f"{day}T{number % 24:02}:{minute:02}:00.000Z", "message": message,
    })


def answer(number, text):
    usage = {"input_tokens": 1200, "output_tokens": 80}
    content = [{"type": "text", "text": text}]
    return {"id": f"msg-{number}-{text[:4]}", "role": "assistant", "model": "large-5", "content": content, "usage": usage}


for number in range(10_000):
    session = new_id()
    folder = pathlib.Path(sys.argv[1]) / f"-work-repo-{number % 40}"
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        line(session, number, 1, "user", {"role": "user", "content": f"{names[number % 4]} ({number})"}),
        line(session, number, 2, "assistant", answer(number, "It is done.")),
        line(session, number, 3, "user", {"role": "user", "content": "Please open a pull request."}),
        line(session, number, 4, "assistant", answer(number, "I have opened one.")),
    ]
    (folder / f"{session}.jsonl").write_text("\n".join(lines) + "\n")
