#!/bin/sh
# examples/agent_python.py as it is.
# shellcheck disable=SC2034 # read by tap.sh
client=python_sdk
. ../lib/tap.sh

default() {
	timeout 60 python "$EXAMPLES/agent_python.py" >out
	cat out
	[ "$(cat out)" = "status: exited
exit code: 0
42" ]
}

failing() {
	echo "import sys; sys.exit('no')" >fails.py
	code=0
	timeout 60 python "$EXAMPLES/agent_python.py" fails.py >out 2>err || code=$?
	cat out err
	[ "$code" -eq 1 ]
	grep -qx 'exit code: 1' out
	grep -qx no err
}

t "examples/agent_python.py prints the output of its program" default
t "examples/agent_python.py fails when the program fails" failing
finish
