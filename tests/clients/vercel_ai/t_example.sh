#!/bin/sh
# examples/agent_vercel.mjs as it is, copied to where its imports are found.
# shellcheck disable=SC2034 # read by example.sh
client=vercel_ai
cp "$EXAMPLES/agent_vercel.mjs" .
program="node $PWD/agent_vercel.mjs"
. ../lib/example.sh
example_cases "examples/agent_vercel.mjs"
finish
