"""The monkey patch by itself: its structure is gevent's, what is found again is what was there, and grants are read as they are told."""

import os
import pathlib
import socket
import sys
import types
import unittest
import warnings

import warder_test_path  # noqa: F401  finds the package
import warder.monkey as monkey
from warder import link
from warder.monkey import _core, _grants, _paths, _sockets, _state


def module(name, **items):
    made = types.ModuleType(name)
    vars(made).update(items)
    return made


class Structure(unittest.TestCase):
    def setUp(self):
        self.target = module("a_target", one=1, two=2, five=5)
        sys.modules["a_target"] = self.target
        self.addCleanup(sys.modules.pop, "a_target")
        self.addCleanup(_core.restore_all)
        self.addCleanup(monkey.subscribers.clear)

    def test_items_are_replaced_and_the_originals_found(self):
        self.assertFalse(monkey.is_module_patched("a_target"))
        self.assertEqual(monkey.get_original("a_target", "one"), 1)
        monkey.patch_item(self.target, "one", 10)
        monkey.patch_item(self.target, "one", 100)
        monkey.remove_item(self.target, "two")
        monkey.remove_item(self.target, "three")
        self.assertEqual((self.target.one, hasattr(self.target, "two")), (100, False))
        self.assertEqual(monkey.get_original("a_target", ["one", "two", "five"]), [1, 2, 5])
        self.assertEqual(monkey.get_original(["no_such_module", "a_target"], "one"), 1)
        self.assertEqual(monkey.saved, {"a_target": {"one": 1, "two": 2}})
        self.assertTrue(monkey.is_object_patched("a_target", "two"))
        _core.restore_all()
        self.assertEqual((self.target.one, self.target.two, monkey.saved), (1, 2, {}))

    def test_what_a_class_inherits_is_inherited_again(self):
        class Base:
            def act(self):
                return "base"

        class Derived(Base):
            pass

        monkey.patch_item(Derived, "act", lambda self: "patched")
        self.assertEqual((Derived().act(), Base().act()), ("patched", "base"))
        _core.restore_all()
        self.assertNotIn("act", vars(Derived))

    def test_a_source_says_what_it_implements_and_is_called_before_and_after(self):
        told = []
        source = module("a_source", __implements__=["one", "two"], one=10, two=20)
        source._warder_will_monkey_patch = lambda target, items, warn: (told.append(("will", target.one)), items.remove("two"))
        source._warder_did_monkey_patch = lambda target, items, warn: told.append(("did", target.one))
        monkey.subscribe(lambda event: told.append(type(event).__name__))
        self.assertTrue(monkey.patch_module(self.target, source))
        self.assertEqual(told, [("will", 1), "WillPatchModule", ("did", 10), "DidPatchModule"])
        self.assertEqual((self.target.one, self.target.two), (10, 2))
        self.assertTrue(monkey.patch_module(self.target, source, items=["two"]) or True)

    def test_a_source_without_its_items_is_an_error_and_a_subscriber_may_refuse(self):
        with self.assertRaises(monkey.BadImplements):
            monkey.patch_module(self.target, module("a_source", one=10))

        def refuse(event):
            raise monkey.DoNotPatch

        monkey.subscribe(refuse)
        self.assertFalse(monkey.patch_module(self.target, module("a_source", one=10), items=["one"]))
        self.assertEqual(self.target.one, 1)

    def test_outside_of_warderd_it_warns_and_patches_nothing(self):
        for name in ("WARDER_SOCKET", "WARDER_GRANTS"):
            self.assertNotIn(name, os.environ)
        before = os.open
        with self.assertWarnsRegex(monkey.MonkeyPatchWarning, "WARDER_SOCKET is not set"):
            self.assertFalse(monkey.patch_all())
        self.assertIs(os.open, before)
        self.assertEqual(monkey.saved, {})


class Told(unittest.TestCase):
    def grants(self, *told):
        return _grants.Grants(told)

    def test_addresses_and_ranges(self):
        grants = self.grants(
            *({"name": text, "kind": "peer", "operations": ["connect"], "address": text} for text in (
                "tcp:10.0.0.0/8:443", "tcp:127.0.0.1:8000-8010", "tcp:[2001:db8::]/32:80", "udp:*:53", "tcp:db.example:5432",
                "unix:/run/db.sock", "unix:@name", "vsock:2:1024")),
            {"name": "http", "kind": "listener", "operations": ["listen"], "address": "tcp:0.0.0.0:80"},
            {"name": "six", "kind": "listener", "operations": ["listen"], "address": "tcp:[::1]:81"},
        )
        for transport, host, port, name in (
            ("tcp", "10.9.8.7", 443, "tcp:10.0.0.0/8:443"), ("tcp", "11.0.0.1", 443, None), ("tcp", "10.0.0.1", 444, None),
            ("udp", "10.0.0.1", 443, None), ("tcp", "127.0.0.1", 8010, "tcp:127.0.0.1:8000-8010"), ("tcp", "127.0.0.1", 8011, None),
            ("tcp", "2001:db8:1::1", 80, "tcp:[2001:db8::]/32:80"), ("tcp", "2001:db9::1", 80, None), ("udp", "9.9.9.9", 53, "udp:*:53"),
            ("udp", "::1", 53, None), ("tcp", "db.example", 5432, "tcp:db.example:5432"), ("tcp", "db.example", 5433, None),
            ("unix", "/run/db.sock", 0, "unix:/run/db.sock"), ("unix", "/run/other", 0, None), ("unix", "@name", 0, "unix:@name"),
            ("vsock", "2", 1024, "vsock:2:1024"),
        ):  # fmt: skip
            with self.subTest((transport, host, port)):
                found = grants.peer_at(transport, host, port)
                self.assertEqual(found and found.name, name)
        self.assertEqual(grants.listener_on("tcp", "0.0.0.0", 80).name, "http")
        self.assertIsNone(grants.listener_on("tcp", "127.0.0.1", 80))
        self.assertEqual(grants.listener_on("tcp", "0:0:0:0:0:0:0:1", 81).name, "six")
        self.assertEqual([one.name for one in grants.peers_by_name("DB.example.")], ["tcp:db.example:5432"])

    def test_trees_cover_what_is_below_them_and_nothing_beside(self):
        grants = self.grants(
            {"name": "site", "kind": "tree", "operations": ["read"], "path": "/srv/www"},
            {"name": "log", "kind": "file", "operations": ["append"], "path": "/var/log/a"},
            {"name": "key", "kind": "secret", "operations": ["secret"], "path": "/etc/key"},
        )
        for path, covered in (("/srv/www", True), ("/srv/www/a/b", True), ("/srv/wwwx", False), ("/srv", False), ("/var/log/a", True),
                              ("/var/log/a/b", False), ("/etc/key", True), ("/", False)):
            self.assertEqual(grants.covers(path), covered, path)
        self.assertTrue(grants.may("/srv/www/a", "read") and not grants.may("/srv/www/a", "append"))
        grants.forget("site")
        self.assertFalse(grants.covers("/srv/www/a"))
        self.assertEqual(grants.beginnings, ("/etc/key", "/var/log/a"))

    def test_commands_are_found_by_their_words(self):
        words = [{"before": "", "placeholder": "none", "text": "/bin/x"}, {"before": "-n", "placeholder": "number", "text": ""}]
        grants = self.grants({"name": "x", "kind": "command", "operations": ["run"], "words": words, "stdin": False, "stdout": True, "stderr": True})
        self.assertEqual(grants.command_of(["/bin/x", "-n7"])[1], ["7"])
        for other in (["/bin/x"], ["/bin/y", "-n7"], ["/bin/x", "7"], ["/bin/x", "-n7\n8"], []):
            self.assertIsNone(grants.command_of(other), other)

    def test_names_to_look_up_match_as_the_policy_has_them(self):
        grants = self.grants({"name": "l", "kind": "lookup", "operations": ["lookup"], "lookups": ["host"], "names": ["*.example", "a?"]})
        self.assertEqual([grants.looks_up("host", name) for name in ("db.example", "ab", "abc", "a[b]")], ["l", "l", None, None])
        self.assertIsNone(grants.looks_up("user", "ab"))

    def test_what_warderd_does_not_write_is_refused(self):
        for text in ("", "{", "[1]", '[{"name": "x"}]', '[{"name":"x","kind":"peer","operations":[],"address":"tcp:x"}]'):
            with self.assertRaisesRegex(ValueError, "WARDER_GRANTS"):
                _grants.from_text(text)


class Paths(unittest.TestCase):
    def setUp(self):
        before = _state.grants
        self.addCleanup(setattr, _state, "grants", before)
        self.addCleanup(setattr, _state.WorkingDirectory, "path", _state.WorkingDirectory.path)
        _state.grants = _grants.Grants([{"name": "site", "kind": "tree", "operations": ["read"], "path": "/srv/www"}])

    def test_each_way_of_writing_a_path_is_found(self):
        for path in ("/srv/www/a", b"/srv/www/a", pathlib.Path("/srv/www/a"), "//srv//www/./a", "/srv/www/a/", "/usr/../srv/www/a"):
            self.assertEqual(_paths.locate(path), "/srv/www/a", path)
        for path in ("/srv/wwwx", "", "srv/www", 0, None, "/srv/www\0", "/srv/www/../x"):
            with self.subTest(path):
                _state.WorkingDirectory.path = "/usr"
                if path != "/srv/www/../x":  # that one asks, where ".." leads
                    self.assertIsNone(_paths.locate(path))
        for base, path in (("/", "srv/www/a"), ("/srv", "www/a"), ("/srv/lib", "../www/a")):
            _state.WorkingDirectory.path = base
            self.assertEqual(_paths.locate(path), "/srv/www/a")

    def test_the_client_takes_paths_of_any_kind(self):
        for path in ("a", b"a", pathlib.Path("a")):
            self.assertEqual(link.open_request("site", path, "r").target, "a")
        self.assertEqual(link.open_request("site", b"\xff", "r").target, "\udcff")


class Sockets(unittest.TestCase):
    def test_where_a_class_has_one_inner_connect_that_is_replaced(self):
        class Newer:
            family, type = socket.AF_INET, socket.SOCK_STREAM

            def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
                pass

            def bind(self, address): ...
            def listen(self, backlog=0): ...
            def setsockopt(self, *more): ...
            def getsockopt(self, *more): ...
            def getsockname(self): ...

            def connect(self, address):
                return self._internal_connect(address)

            def connect_ex(self, address):
                return self._internal_connect(address) or 0

            def _internal_connect(self, address):
                return None

        items = _sockets.Methods(Newer).items()
        self.assertIn("_internal_connect", items)
        self.assertNotIn("connect", items)
        self.assertNotIn("connect_ex", items)
        self.assertIn("connect", _sockets.Methods(socket.socket).items())

    def test_addresses_of_a_socket_become_those_of_grants(self):
        with socket.socket() as tcp, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as unix:
            self.assertEqual(_sockets.place_of(tcp, ("", 80)).text(), "tcp:0.0.0.0:80")
            self.assertEqual(_sockets.place_of(tcp, (b"LocalHost", 80)).text(), "tcp:localhost:80")
            self.assertEqual(_sockets.place_of(unix, "\0name").text(), "unix-dgram:@name")
            self.assertEqual(_sockets.place_of(unix, b"/run//a.sock").text(), "unix-dgram:/run/a.sock")
            for wrong in ((), ("x",), None, ("x", "y", "z"), 7):
                self.assertIsNone(_sockets.place_of(tcp, wrong))


if __name__ == "__main__":
    warnings.simplefilter("error")
    unittest.main()
