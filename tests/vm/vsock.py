"""A listener and a connection to it, both lent by warderd, over the kernel's own loopback of vsock."""
import time

import warder

with warder.Connection() as parent:
    listener = parent.listen("door")
    client = parent.connect("way")
    server, who = listener.accept()
    client.sendall(b"hello")
    heard = server.recv(16).decode()
    try:
        parent.connect("way", "vsock:1:7778")
        other = "lent"
    except OSError as refused:
        other = "refused" if refused.errno == 1 or refused.errno == 13 else str(refused)
    parent.ready(f"heard {heard} from {who[0]}, another port is {other}")
    time.sleep(1000)
