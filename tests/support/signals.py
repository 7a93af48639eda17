"""What a process answers to Ctrl-C and SIGTERM, and how it gets them."""

import os
import signal

SIGNALS = [signal.SIGINT, signal.SIGTERM]


def handlers():
    return {number: signal.getsignal(number) for number in SIGNALS}


def send(number):
    os.kill(os.getpid(), number)
