"""Imported for its effect: python3-h2 takes GOAWAY for the end of everything; RFC 9113, 6.8 lets open
streams end."""
import h2.connection

_OPEN = h2.connection.ConnectionState.CLIENT_OPEN
h2.connection.H2ConnectionStateMachine._transitions[
    (_OPEN, h2.connection.ConnectionInputs.RECV_GOAWAY)] = (None, _OPEN)
