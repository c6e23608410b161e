"""Lent sockets: T35, and a listener that its holder spoils (D13)."""

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


if __name__ == "__main__":
    unittest.main()
