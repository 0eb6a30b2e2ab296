#!/bin/sh
# examples/agent_langchain.py as it is.
# shellcheck disable=SC2034 # read by example.sh
client=langchain_python
program="python $EXAMPLES/agent_langchain.py"
. ../lib/example.sh
example_cases "examples/agent_langchain.py"
finish
