"""A serial line between two ptys that takes its time: `bus.py BAUD` prints `READY` and the two devices.

A byte takes eleven bits of the baud rate, as on a wire; without that a bench of a bus measures processors.
"""

import os
import sys
import threading
import time
import tty

BITS = 11
_MOST = 4096


def carry(source: int, target: int, baud: int) -> None:
    """Pass bytes on until the end."""
    while data := os.read(source, _MOST):
        time.sleep(len(data) * BITS / baud)
        os.write(target, data)


def main(baud: int) -> None:
    """Make the line and keep it until standard input ends."""
    pairs = [os.openpty() for _ in range(2)]
    for _, device in pairs:
        tty.setraw(device)
    (one, first), (other, second) = pairs
    for source, target in ((one, other), (other, one)):
        threading.Thread(target=carry, args=(source, target, baud), daemon=True).start()
    print("READY", os.ttyname(first), os.ttyname(second), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))
