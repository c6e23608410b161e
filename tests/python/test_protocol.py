import errno
import json
import os
import unittest

import warder_test_path  # noqa: F401
from warder import protocol
from warder.protocol import Message, ProtocolError, Request, Type

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "vectors", "messages.json")

TEXTS = ("ready", "status", "put", "fetch", "stored")
DECODERS = {
    "hello": protocol.decode_hello,
    "hello_reply": protocol.decode_hello_reply,
    "ask": protocol.decode_ask,
    "answer": protocol.decode_answer,
    "ready": protocol.decode_text,
    "status": protocol.decode_text,
    "done": protocol.decode_done,
    "stop": protocol.decode_event,
    "reload": protocol.decode_event,
    "channel": protocol.decode_event,
    "secret": protocol.decode_event,
    "revoked": protocol.decode_event,
    "lookup": protocol.decode_event,
    "ended": protocol.decode_event,
    "found": protocol.decode_found,
    "put": protocol.decode_text,
    "fetch": protocol.decode_text,
    "stored": protocol.decode_text,
    "command": protocol.decode_command,
    "report": protocol.decode_report,
}


def encode(kind, number, value):
    one_of = {
        "hello": protocol.encode_hello,
        "hello_reply": protocol.encode_hello_reply,
        "ask": protocol.encode_ask,
        "answer": protocol.encode_answer,
        "done": protocol.encode_done,
        "found": protocol.encode_found,
        "command": protocol.encode_command,
        "report": protocol.encode_report,
    }
    if kind in one_of:
        return one_of[kind](number, value)
    if kind in TEXTS:
        return protocol.encode_text(Type[kind.upper()], number, value)
    return protocol.encode_event(Type[kind.upper()], value)


def text_of(value):
    """Texts that are not UTF-8 stand as {"hex": ...} in the vectors."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"]).decode("utf-8", "surrogateescape")
    return value


def as_fields(kind, value):
    if kind in TEXTS:
        return {"text": value}
    if kind in ("ask", "answer"):
        return {"requests" if kind == "ask" else "outcomes": [one._asdict() for one in value]}
    return value._asdict()


def expected_fields(fields):
    fields = dict(fields)
    fields.pop("id")
    for key in ("requests", "outcomes"):
        if key in fields:
            fields[key] = [{name: text_of(value) for name, value in one.items()} for one in fields[key]]
    return {name: text_of(value) for name, value in fields.items()}


@unittest.skipUnless(os.path.exists(VECTORS), "no vectors here")
class VectorsAgree(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with open(VECTORS, encoding="utf-8") as file:
            cls.vectors = json.load(file)

    def test_there_are_vectors_of_every_type(self):
        self.assertEqual({vector["type"] for vector in self.vectors}, set(DECODERS))

    def test_every_datagram_decodes_to_its_fields(self):
        for vector in self.vectors:
            if vector["error"] is None:
                with self.subTest(vector["name"]):
                    message = protocol.decode(bytes.fromhex(vector["hex"]))
                    self.assertEqual(message.type, Type[vector["type"].upper()])
                    self.assertEqual(message.id, vector["fields"]["id"])
                    value = DECODERS[vector["type"]](message)
                    self.assertEqual(as_fields(vector["type"], value), expected_fields(vector["fields"]))

    def test_every_value_encodes_to_its_datagram(self):
        for vector in self.vectors:
            if vector["exact"]:
                with self.subTest(vector["name"]):
                    message = protocol.decode(bytes.fromhex(vector["hex"]))
                    value = DECODERS[vector["type"]](message)
                    self.assertEqual(encode(vector["type"], message.id, value).hex(), vector["hex"])

    def test_every_bad_datagram_is_refused_with_its_errno(self):
        for vector in self.vectors:
            if vector["error"] is not None:
                with self.subTest(vector["name"]), self.assertRaises(ProtocolError) as caught:
                    DECODERS[vector["type"]](protocol.decode(bytes.fromhex(vector["hex"])))
                self.assertEqual(errno.errorcode[caught.exception.errno], vector["error"], vector["name"])


class TheCodec(unittest.TestCase):
    def test_the_stat_of_the_vector_is_read_by_its_names(self):
        with open(VECTORS, encoding="utf-8") as file:
            (vector,) = (one for one in json.load(file) if one["name"] == "answer, a stat")
        (outcome,) = protocol.decode_answer(protocol.decode(bytes.fromhex(vector["hex"])))
        stat = protocol.decode_stat(outcome.text.encode("utf-8", "surrogateescape"))
        self.assertEqual((stat.st_dev, stat.st_ino, stat.st_mode, stat.st_nlink), (0x801, 131074, 0o100640, 1))
        self.assertEqual((stat.st_uid, stat.st_gid, stat.st_size, stat.st_blocks), (64000, 64001, 1234, 8))
        self.assertEqual((stat.st_mtime, stat.st_mtime_ns), (1700000000.5, 1700000000500000000))
        self.assertEqual(stat.st_ctime_ns, 1700000001000000001)
        with self.assertRaises(ProtocolError):
            protocol.decode_stat(b"\0" * 71)

    def test_numbers_of_a_newer_protocol_stay_numbers(self):
        sent = [Request(4711, "site", "a")]
        self.assertEqual(protocol.decode_ask(protocol.decode(protocol.encode_ask(1, sent))), sent)
        answered = protocol.decode_answer(
            protocol.decode(protocol.encode_answer(1, [protocol.Outcome(13, 4711, text="no")]))
        )
        self.assertEqual(answered[0].reason, 4711)

    def test_a_path_that_is_not_utf_8_survives(self):
        sent = [Request(1, "site", os.fsdecode(b"caf\xe9/\xff"))]
        datagram = protocol.encode_ask(1, sent)
        self.assertIn(b"caf\xe9/\xff", datagram)
        self.assertEqual(protocol.decode_ask(protocol.decode(datagram)), sent)

    def test_more_than_253_requests_do_not_fit_one_ask(self):
        for count in (0, 254):
            with self.assertRaises(OSError) as caught:
                protocol.encode_ask(1, [Request(1, "site", "a")] * count)
            self.assertEqual(caught.exception.errno, errno.EMSGSIZE)
        self.assertEqual(len(protocol.decode_ask(protocol.decode(protocol.encode_ask(1, [Request(1)] * 253)))), 253)

    def test_a_message_ends_at_64_KiB(self):
        room = protocol.MAX_MESSAGE - 16 - 8
        self.assertEqual(len(protocol.encode_text(Type.STATUS, 1, "x" * room)), protocol.MAX_MESSAGE)
        with self.assertRaises(OSError) as caught:
            protocol.encode_text(Type.STATUS, 1, "x" * (room + 1))
        self.assertEqual(caught.exception.errno, errno.EMSGSIZE)

    def test_every_cut_and_every_flipped_byte_is_refused_or_decodes(self):
        whole = protocol.encode_answer(7, [protocol.Outcome(13, 2, text="no grant covers it"), protocol.Outcome(fds=1)])
        for end in range(len(whole)):
            with self.assertRaises(ProtocolError):
                protocol.decode_answer(protocol.decode(whole[:end]))
        for place in range(len(whole)):
            for flip in (0x01, 0x80, 0xFF):
                bent = bytearray(whole)
                bent[place] ^= flip
                try:
                    protocol.decode_answer(protocol.decode(bytes(bent)))
                except ProtocolError as error:
                    self.assertIn(error.errno, (errno.EPROTO, errno.E2BIG))

    def test_an_unknown_message_type_is_for_the_caller_to_judge(self):
        datagram = bytearray(protocol.encode_done(3))
        datagram[0:2] = (0x8777).to_bytes(2, "little")
        self.assertEqual(protocol.decode(bytes(datagram))[:2], Message(0x8777, 3, b"", b"")[:2])


if __name__ == "__main__":
    unittest.main()
