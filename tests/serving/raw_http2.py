"""Calls of gRPC in HTTP/2 frames of the tests' own making: as slow, as greedy and as unfinished as no client is.

Frames and settings: RFC 9113, sections 4.1 and 6; headers as literals without a name from the table: RFC 7541, 6.2.2.
"""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, SETTINGS = 0x0, 0x1, 0x4
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_BYTES = 16_384
PREDICT = "/tensorflow.serving.PredictionService/Predict"


class RawHttp2:
    """One connection that reads nothing unasked. With a `window_bytes` of 0 it takes no byte of any answer."""

    def __init__(self, port, window_bytes=65_535):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._next_stream = 1
        settings = struct.pack(">HI", INITIAL_WINDOW_SIZE, window_bytes)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0, settings))

    def call(self, request=None, method=PREDICT, encoding="identity"):
        """Begin a call. Without a `request`, which fits in a window of 64 KB, its message never comes."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        named = {":method": "POST", ":scheme": "http", ":path": method, ":authority": "localhost"}
        named |= {"content-type": "application/grpc", "te": "trailers", "grpc-encoding": encoding}
        block = b"".join(literal(name, value) for name, value in named.items())
        frames = frame(HEADERS, END_HEADERS, stream, block)
        if request is not None:
            message = struct.pack(">BI", encoding != "identity", len(request)) + request
            parts = [message[i : i + MAX_FRAME_BYTES] for i in range(0, len(message), MAX_FRAME_BYTES)]
            frames += b"".join(frame(DATA, 0, stream, part) for part in parts)
            frames += frame(DATA, END_STREAM, stream, b"")
        self._socket.sendall(frames)

    def read_until(self, text):
        """Read until `text` comes; False where the connection ends first."""
        read = b""
        while text not in read:
            part = self._socket.recv(65_536)
            if not part:
                return False
            read += part
        return True

    def close(self):
        self._socket.close()


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field; names and values are shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
