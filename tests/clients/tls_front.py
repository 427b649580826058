"""Runs a client with built-in hosts in a namespace where these hosts are this machine.

    unshare -mn python tls_front.py HOSTS CERT KEY UPSTREAM -- COMMAND …

HOSTS replaces /etc/hosts. The namespace has its own loopback, where this program speaks TLS on port 443 and forwards to UPSTREAM, a
Unix socket that leads out of the namespace. Nothing outside of the namespace is changed.
"""

import fcntl
import socket
import ssl
import struct
import subprocess
import sys
import threading

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1


def raise_loopback():
    """Brings up the namespace's loopback, which is down at first."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request)[:18])[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | IFF_UP))


def pump(source, target):
    """Copies bytes one way until the source ends."""
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    for end in (source, target):
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def join(left, right):
    """Copies both ways, each in its own thread."""
    for source, target in ((left, right), (right, left)):
        threading.Thread(target=pump, args=(source, target), daemon=True).start()


def serve(listener, upstream, context):
    """Joins each connection with a new connection to the upstream."""
    while True:
        client, _ = listener.accept()
        try:
            plain = context.wrap_socket(client, server_side=True)
        except OSError:
            continue
        server = socket.socket(socket.AF_UNIX)
        server.connect(upstream)
        join(plain, server)


def main():
    """Parses the arguments, starts the front and runs the command."""
    split = sys.argv.index("--")
    hosts, certificate, key, upstream = sys.argv[1:split]
    raise_loopback()
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 443))
    threading.Thread(target=serve, args=(listener, upstream, context), daemon=True).start()
    sys.exit(subprocess.run(sys.argv[split + 1:]).returncode)


if __name__ == "__main__":
    main()
