#!/usr/bin/python3
"""The smallest worker: it may listen where its grant `http` says, and read what its grant `site` covers. Nothing else."""

import warder

with warder.Connection() as parent:
    http = parent.listen("http")
    parent.ready()
    while True:
        visitor, _ = http.accept()
        with visitor, parent.open("site", "index.html", "rb") as page:
            visitor.recv(65536)
            visitor.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + page.read())
