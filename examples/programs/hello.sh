#!/bin/bash
echo "hello from bash ${BASH_VERSION%%(*}"
echo "6 * 7 = $((6 * 7))"
