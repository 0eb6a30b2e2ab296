#!/bin/sh
# Makes fumehood known to Claude Code, for this user in every project, and shows that it connects.
set -eu
fumehood=${FUMEHOOD:-/usr/local/bin/fumehood}

claude mcp add --scope user fumehood -- "$fumehood" stdio
claude mcp list
