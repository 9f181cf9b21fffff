"""HTTP/1.1 and HTTP/2 by hand: what no well-behaved client sends."""

import select
import socket
import struct
import time
import zlib

DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
ACK = END_STREAM = 1
END_HEADERS = 4


def connect(address, patience=10):
    """A connection, or None where the server takes none."""
    try:
        return socket.create_connection(address, timeout=patience)
    except OSError:
        return None


def head(request, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in ({"host": "localhost"} | headers).items())
    return f"{request} HTTP/1.1\r\n{lines}\r\n".encode()


def send_within(connection, data, seconds):
    """Sends what the server takes within a time. Gives the number of bytes, and whether the connection still stands."""
    sent, until = 0, time.monotonic() + seconds
    view = memoryview(data)
    connection.setblocking(False)
    while sent < len(data) and time.monotonic() < until:
        readable, writable, _ = select.select([connection], [connection], [], 0.2)
        try:
            if readable and not connection.recv(1 << 16):
                return sent, False
            if writable:
                sent += connection.send(view[sent:sent + (1 << 18)])
        except BlockingIOError:
            pass
        except OSError:
            return sent, False
    return sent, True


def is_open(connection):
    """Whether the server has not closed it."""
    connection.setblocking(False)
    try:
        while True:
            if not connection.recv(1 << 16):
                return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def status(address, request, headers, body=b"", patience=30):
    """Sends a request and gives the answer's status and headers. 0 when there is none."""
    connection = connect(address, patience)
    if connection is None:
        return 0, ""
    headers = {"connection": "close", "content-length": len(body), **headers}
    answer = b""
    try:
        connection.sendall(head(request, headers) + body)
        while True:
            data = connection.recv(1 << 16)
            if not data:
                break
            answer += data
    except OSError:
        pass
    finally:
        connection.close()
    first, _, rest = answer.decode(errors="replace").partition("\r\n")
    return (int(first.split(" ")[1]), rest) if first.startswith("HTTP/1.1 ") else (0, "")


def png(side, row):
    """A PNG of side x side pixels; `row(y)` gives a row's RGB bytes."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(b"\x00" + row(y)) for y in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def form(parts):
    """A form of files and texts, and its content type."""
    body = b""
    for name, value in parts.items():
        file = f'; filename="{name}.png"' if isinstance(value, bytes) else ""
        value = value if isinstance(value, bytes) else str(value).encode()
        body += f'--edge\r\ncontent-disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + value + b"\r\n"
    return body + b"--edge--\r\n", "multipart/form-data; boundary=edge"


class Http2:
    """One connection of HTTP/2 without a header table: every header is spelled out."""

    def __init__(self, address):
        self.socket = connect(address)
        self.stream, self.window, self.streams = -1, 65535, {}
        self.first_window, self.buffer, self.answers = 65535, b"", {}
        self.socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self._frame(SETTINGS, 0, 0, b""))
        self.socket.setblocking(False)
        # The server says how much it takes.
        until = time.monotonic() + 5
        while self.first_window == 65535 and time.monotonic() < until and self.read(0.1):
            pass

    @staticmethod
    def _frame(kind, flags, stream, payload):
        return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

    def _send(self, data):
        self.socket.setblocking(True)
        self.socket.settimeout(10)
        self.socket.sendall(data)
        self.socket.setblocking(False)

    @staticmethod
    def _literal(name, value):
        name, value = name.encode(), value.encode()
        return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value

    def call(self, path, content_type="application/grpc"):
        """Begins a call and gives its stream."""
        self.stream += 2
        headers = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "localhost",
                   "content-type": content_type, "te": "trailers"}
        block = b"".join(self._literal(*header) for header in headers.items())
        self.streams[self.stream] = self.first_window
        self._send(self._frame(HEADERS, END_HEADERS, self.stream, block))
        return self.stream

    def send(self, stream, data, seconds=10, end=False):
        """Sends what the windows allow within a time. Gives the number of bytes, and whether the connection still stands."""
        sent, until = 0, time.monotonic() + seconds
        while sent < len(data) and time.monotonic() < until:
            room = min(self.window, self.streams.get(stream, 0), 16384, len(data) - sent)
            if room <= 0:
                if stream not in self.streams or not self.read(0.1):
                    return sent, False
                continue
            last = end and sent + room == len(data)
            try:
                self._send(self._frame(DATA, END_STREAM if last else 0, stream, data[sent:sent + room]))
            except OSError:
                return sent, False
            sent += room
            self.window -= room
            self.streams[stream] -= room
            if not self.read(0):
                return sent, False
        return sent, True

    def read(self, seconds):
        """Reads what the server sends. False when it has hung up."""
        if select.select([self.socket], [], [], seconds)[0]:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self.buffer += data
        while len(self.buffer) >= 9 and len(self.buffer) >= 9 + (size := int.from_bytes(self.buffer[:3], "big")):
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big") & 0x7FFFFFFF
            payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
            self._take(kind, flags, stream, payload)
        return True

    def _take(self, kind, flags, stream, payload):
        if kind == SETTINGS and not flags & ACK:
            for at in range(0, len(payload), 6):
                key, value = struct.unpack(">HI", payload[at:at + 6])
                if key == 4:
                    self.first_window = value
            self._send(self._frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self._send(self._frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big") & 0x7FFFFFFF
            if stream == 0:
                self.window += more
            elif stream in self.streams:
                self.streams[stream] += more
        elif kind in (HEADERS, 3) and (kind == 3 or flags & END_STREAM):
            self.answers[stream] = payload
            self.streams.pop(stream, None)

    def close(self):
        self.socket.close()
