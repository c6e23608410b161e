"""Lent sockets: T35, a listener that its holder spoils (D13, T40), options that lead elsewhere (T39), and what an accepted socket
can be made of (T63)."""

import os
import socket
import struct
import unittest

from harness import WarderTest, free_port, wait_for


def peer_uid(sock):
    return struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]


class Sockets(WarderTest):
    def test_T35_peers_of_lent_unix_sockets_never_see_uid_0(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(self.path("sockets/peer"))
            os.chmod(self.path("sockets/peer"), 0o666)
            server.listen()
            server.settimeout(10)
            grants = (f'peer = {{ connect = "unix:{self.home}/sockets/peer" }}\n'
                      f'door = {{ listen = "unix:{self.home}/sockets/door", mode = "0666" }}')
            self.start(self.script("attacker", "T35_peers", grants))
            lent, _ = server.accept()
            with lent:
                uid = self.results(count=2)[0]["own"]
                self.assertNotEqual(uid, 0)
                self.assertEqual(peer_uid(lent), uid)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(self.path("sockets/door"))
            self.assertEqual(client.recv(1), b"x")
            self.assertEqual(peer_uid(client), uid)

    def test_D13_a_listener_that_its_holder_shut_down_is_made_again_at_its_death(self):
        port = free_port()
        self.start(self.script("attacker", "spoil_listener", f'door = {{ listen = "tcp:127.0.0.1:{port}" }}'))
        self.results()
        self.audited(kind="hold", worker="attacker")

        def connects():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_for(connects, "the listener takes connections again")

    # ---- T40: what one run did to a kept listener, the next finds undone ----

    def changed(self, how, address, sandbox=""):
        """The record of a listener that `how` was done to, and a connection to it afterwards."""
        self.start(self.script("attacker", f"T40_changed", f'door = {{ listen = "{address}", mode = "0666" }}' if address.startswith("unix:/")
                               else f'door = {{ listen = "{address}" }}', sandbox=sandbox).replace('"T40_changed"', f'"T40_changed", "{how}"'))
        self.assertEqual(self.results()[0]["done"], how)
        return self.audited(kind="hold", worker="attacker", grant="door")["text"]

    def connected(self, port):
        def connects():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        wait_for(connects, "the listener takes connections")

    def test_T40_options_that_a_run_set_on_a_listener_are_put_back_for_the_next(self):
        port = free_port()
        text = self.changed("options", f"tcp:127.0.0.1:{port}")
        for word in ("SO_LINGER", "SO_RCVTIMEO", "TCP_DEFER_ACCEPT", "put back"):
            self.assertIn(word, text)
        self.connected(port)

    def test_T40_signals_that_a_run_wanted_of_a_listener_are_put_back_for_the_next(self):
        text = self.changed("signals", f"tcp:127.0.0.1:{free_port()}")
        for word in ("F_SETSIG", "status flags", "put back"):   # the owner is gone with the run
            self.assertIn(word, text)

    def test_T40_a_backlog_that_a_run_made_smaller_is_put_back_for_the_next(self):
        port = free_port()
        self.assertIn("its backlog): put back", self.changed("backlog", f"tcp:127.0.0.1:{port}"))
        self.connected(port)

    def test_T40_a_listener_that_listens_and_lets_nobody_send_is_made_again(self):
        port = free_port()
        self.assertIn("made again", self.changed("mute", f"tcp:127.0.0.1:{port}"))
        self.connected(port)

    def test_T40_a_unix_listener_that_was_shut_down_is_made_again(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        self.assertIn("shut down): made again", self.changed("shutdown", f"unix:{self.home}/sockets/door"))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(self.path("sockets/door"))

    def test_T40_a_unix_datagram_socket_that_was_shut_down_is_made_again(self):
        os.makedirs(self.path("sockets"))
        os.chmod(self.path("sockets"), 0o777)
        self.assertIn("shut down): made again", self.changed("shutdown", f"unix-dgram:{self.home}/sockets/door"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
            client.sendto(b"x", self.path("sockets/door"))

    def test_T40_a_udp_socket_that_was_shut_down_is_made_again(self):
        self.assertIn("shut down): made again", self.changed("shutdown", f"udp:127.0.0.1:{free_port()}"))

    # ---- T39, T63 ----

    def test_T39_what_is_sent_over_a_lent_socket_is_not_routed_elsewhere(self):
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as server:
            server.bind(("::1", 0))
            options = ["41:57", "41:54", "41:55", "41:59", "41:50", "41:6", "41:76", "41:17", "41:20", "41:27", "0:4", "0:8", "0:50", "1:5", "1:25", "1:62",
                       "1:36", "1:26", "17:100", "6:30", "6:31", "41:9999", "284:1"]
            words = ", ".join(f'"{option}"' for option in options)
            self.start(self.script("attacker", "T39_options", f'far = {{ connect = "udp:[::1]:{server.getsockname()[1]}" }}')
                       .replace('"T39_options"', f'"T39_options", {words}'))
            seen = self.results()[0]
            self.assertEqual(seen, dict.fromkeys([*options, "segments"], "ENOPROTOOPT"))

    def accepted(self, sandbox, grants=""):
        with socket.create_server(("127.0.0.1", 0)) as denied, socket.create_server(("127.0.0.1", 0)) as allowed:
            port, ports = free_port(), [one.getsockname()[1] for one in (denied, allowed)]
            sandbox = sandbox.replace("PORT", str(ports[1]))
            self.start(self.script("attacker", "T63_accepted", f'door = {{ listen = "tcp:127.0.0.1:{port}" }}\n{grants}', sandbox=sandbox)
                       .replace('"T63_accepted"', f'"T63_accepted", "{ports[0]}", "{ports[1]}"'))
            self.results()
            with socket.create_connection(("127.0.0.1", port), timeout=10):
                seen = self.results(count=2)[1]
            denied.settimeout(0.2)
            self.assertRaises(TimeoutError, denied.accept)
            return seen

    def test_T63_an_accepted_socket_listens_nowhere_and_connects_nowhere_where_listen_is_left(self):
        seen = self.accepted("")
        self.assertEqual(seen.pop("listener-listens"), 0)
        self.assertEqual(seen.pop("listener-down"), 0)
        self.assertEqual((seen.pop("listen"), seen.pop("listen-disconnected"), seen.pop("listen-after")), ("EINVAL",) * 3)
        self.assertEqual(seen.pop("fastopen-connect"), "ENOPROTOOPT")
        self.assertEqual(set(seen.values()), {"EPERM"}, seen)

    def test_T63_an_accepted_socket_listens_nowhere_and_connects_to_the_allowed_ports_where_connect_is_left(self):
        seen = self.accepted('profile = "service"\nbeside_listeners = "connect"\ntcp_connect = [PORT]\n')
        self.assertEqual({name: seen[name] for name in ("disconnect", "there", "new", "listener-down")}, dict.fromkeys(("disconnect", "there", "new", "listener-down"), 0))
        for name in ("elsewhere", "new-elsewhere", "listener-elsewhere"):
            self.assertEqual(seen[name], "EACCES", name)
        for name in ("listen", "listen-disconnected", "listen-after", "new-listen", "bind-disconnected", "fastopen", "listener-fastopen", "listener-listens"):
            self.assertEqual(seen[name], "EPERM", name)
        self.assertEqual(seen["mptcp"], "EPROTONOSUPPORT")
        self.assertEqual(seen["fastopen-connect"], "ENOPROTOOPT")

    def test_T63_in_an_empty_network_connect_reaches_no_port_at_all(self):
        seen = self.accepted('beside_listeners = "connect"\n')
        self.assertEqual((seen["disconnect"], seen["elsewhere"], seen["there"], seen["listener-elsewhere"]), (0, "EACCES", "EACCES", "EACCES"))
        self.assertEqual((seen["new"], seen["listen-disconnected"]), ("EPERM", "EPERM"))


if __name__ == "__main__":
    unittest.main()
