#!/usr/bin/env python3
"""Sends the packets of a capture file out of a device, paced, in order; prints how many the kernel took and refused. SIGTERM ends it early.
Usage: generator.py DEVICE FILE PPS [ROUNDS]"""
import errno
import json
import signal
import socket
import sys
import time

import harness


def main():
    device, file, pps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rounds = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    packets = [data for _, data in harness.read_capture(file)]
    out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    out.bind((device, 0))
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    sent, refused, begin = 0, 0, time.monotonic()
    for i in range(rounds * len(packets)):
        if ended:
            break
        behind = begin + i / pps - time.monotonic()
        if behind > 0:
            time.sleep(behind)
        try:
            out.send(packets[i % len(packets)])
            sent += 1
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            refused += 1
    print(json.dumps({"sent": sent, "refused": refused}))


if __name__ == "__main__":
    main()
