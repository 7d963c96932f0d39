"""A real Redis server for tests: Debian's redis-server, on a free port, without files."""

import shutil
import socket
import subprocess
import time


class RedisProcess:
    """Runs until `stop`; it may be killed and started again on the same port, empty."""

    @staticmethod
    def binary():
        return shutil.which("redis-server")

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = None
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self):
        flags = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self.process = subprocess.Popen([self.binary(), *flags], stdout=subprocess.DEVNULL, cwd="/")
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise RuntimeError("redis-server did not start")

    def stop(self):
        self.process.kill()
        self.process.wait()
