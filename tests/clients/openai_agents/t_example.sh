#!/bin/sh
# examples/agent_openai.py as it is.
# shellcheck disable=SC2034 # read by example.sh
client=openai_agents
program="python $EXAMPLES/agent_openai.py"
. ../lib/example.sh
example_cases "examples/agent_openai.py"
finish
