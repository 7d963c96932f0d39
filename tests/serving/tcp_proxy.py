"""A road to a real server that can be blocked, cut off, and encrypted: what networks do to clients."""

import contextlib
import socket
import threading


class TcpProxy:
    """Passes bytes between clients and `target` ("host:port") until told otherwise."""

    def __init__(self, target, tls=None):
        host, port = target.rsplit(":", 1)
        self._server = (host, int(port))
        self._tls = tls
        self._flows = threading.Event()
        self._flows.set()
        self._sockets = set()
        self._lock = threading.Lock()
        self._listener = None
        self.port = 0
        self.connections = 0
        self.bytes_out = 0
        self.revive()

    @property
    def target(self):
        return f"127.0.0.1:{self.port}"

    def pause(self):
        """Hold back all bytes: the server hangs, connections stay."""
        self._flows.clear()

    def resume(self):
        self._flows.set()

    def kill(self):
        """Refuse connections and cut those there are, as a killed process does."""
        # A close alone does not wake the thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flows.set()
        with self._lock:
            for one in self._sockets:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            self._sockets.clear()

    def revive(self):
        """Listen again, on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near):
        try:
            if self._tls is not None:
                near = self._tls.wrap_socket(near, server_side=True)
            far = socket.create_connection(self._server)
        except OSError:
            near.close()
            return
        with self._lock:
            self._sockets |= {near, far}
            self.connections += 1
        threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
        self._pass(far, near, False)

    def _pass(self, source, sink, is_out):
        with contextlib.suppress(OSError, ValueError):
            while data := source.recv(1 << 16):
                self._flows.wait()
                if is_out:
                    self.bytes_out += len(data)
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
