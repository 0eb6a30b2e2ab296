#!/bin/sh
# examples/agent_langchain.mjs as it is, copied to where its imports are found.
# shellcheck disable=SC2034 # read by example.sh
client=langchain_js
cp "$EXAMPLES/agent_langchain.mjs" .
program="node $PWD/agent_langchain.mjs"
. ../lib/example.sh
example_cases "examples/agent_langchain.mjs"
finish
