"""Wants a whole processor for three seconds, and says how much of it it got."""
import os
import socket
import time

began, used = time.monotonic(), time.process_time()
while time.monotonic() - began < 3:
    pass
share = round(100 * (time.process_time() - used) / (time.monotonic() - began))
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
    notify.sendto(f"READY=1\nSTATUS=got {share} of 100".encode(), os.environ["NOTIFY_SOCKET"])
time.sleep(1000)
