"""The HTTP server alone (tests/lib/httpd.c), before clients that mean no good."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lib"))
