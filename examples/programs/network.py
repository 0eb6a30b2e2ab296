# Calls a server in the internet.
import socket
socket.create_connection(("1.1.1.1", 443), timeout=3)
print("connected")
