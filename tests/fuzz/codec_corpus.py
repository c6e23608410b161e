#!/usr/bin/env python3
"""Writes corpus/codec from tests/vectors/messages.json: one file for each message, named after it.

    tests/fuzz/codec_corpus.py

Run it when the vectors change; its output is committed.
"""
import json
import pathlib
import re

here = pathlib.Path(__file__).parent
corpus = here / "corpus" / "codec"
corpus.mkdir(parents=True, exist_ok=True)
for message in json.loads((here.parent / "vectors" / "messages.json").read_text()):
    name = re.sub(r"[^a-z0-9]+", "-", message["name"].lower()).strip("-")
    (corpus / name).write_bytes(bytes.fromhex(message["hex"]))
