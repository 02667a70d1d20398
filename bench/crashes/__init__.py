"""What `bench/crash.py` kills: a whole gateway at random, and accept-and-deliver at every system call."""
