#!/bin/sh
# Makes a running `fumehood serve` known to Claude Code, for this user in every project, and shows
# that it connects. Claude Code puts in the variable at each start: the key is in no file.
#
#	FUMEHOOD_KEY=$(fumehood key create claude-code); export FUMEHOOD_KEY
set -eu
: "${FUMEHOOD_KEY:?the key that fumehood key create printed}"
url=${FUMEHOOD_URL:-http://127.0.0.1:8080/mcp}

# shellcheck disable=SC2016 # for Claude Code to expand, not for this shell
claude mcp add --scope user --transport http fumehood "$url" \
	--header 'Authorization: Bearer ${FUMEHOOD_KEY}'
claude mcp list
