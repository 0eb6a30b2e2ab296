#!/bin/bash
# Never ends, refuses to be asked, and leaves a child behind that does the same.
trap '' TERM INT HUP
(setsid bash -c 'trap "" TERM; while :; do :; done' &)
while :; do :; done
