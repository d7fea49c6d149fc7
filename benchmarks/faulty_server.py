"""A photo server on this machine that is slow and fails as often as one likes, the same way in every run.

    python benchmarks/faulty_server.py --photos 10000 --latency-ms 30 --busy 0.03 --resets 0.01 --truncated 0.005

Prints one JSON line with its address, and one with what it counted once standard input is closed. Photo ``i`` lies at
``/i.jpg`` and differs from all others. Whether the n-th request for a photo fails, and how, is drawn from the photo's
number, n and the seed alone: order and time change nothing. ``/log`` holds counts, and ``/sent`` how often each photo
was sent in full.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import random
import socket
import struct
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np
from PIL import Image

BASES = 16
"""Pictures that are really drawn; the others differ from these in a comment, which costs nothing to make."""


@dataclass(frozen=True)
class Faults:
    """Shares of requests, 0 to 1, and seconds before each answer."""

    latency: float = 0.03
    busy: float = 0.0
    """Answered with 503."""
    resets: float = 0.0
    """The connection is reset in the middle of the photo."""
    truncated: float = 0.0
    """Content-Length announces the whole photo, and half of it comes."""
    seed: int = 0

    def of(self, photo: int, request: int) -> str:
        """What happens to the n-th request for a photo: ``busy``, ``reset``, ``truncated`` or "" for nothing."""
        draw = random.Random(f"{self.seed}/{photo}/{request}").random()
        for name, share in (("busy", self.busy), ("reset", self.resets), ("truncated", self.truncated)):
            if draw < share:
                return name
            draw -= share
        return ""


def make_bases(width: int = 640, height: int = 480, quality: int = 85) -> list[bytes]:
    """JPEG files of clouds of colour."""
    found = []
    for i in range(BASES):
        coarse = np.random.default_rng(i).integers(0, 256, (12, 16, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=quality)
        found.append(file.getvalue())
    return found


def photo_bytes(bases: list[bytes], photo: int) -> bytes:
    """The file of a photo: one of ``bases`` with a comment segment (FF FE, length, text) of its own."""
    base, text = bases[photo % len(bases)], f"photo {photo}".encode()
    return base[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + base[2:]


class FaultyServer:
    """The server, in the event loop that runs it."""

    def __init__(self, photos: int, faults: Faults) -> None:
        self.faults = faults
        self.photos = photos
        self.bases = make_bases()
        self.asked: Counter[int] = Counter()
        self.whole: Counter[int] = Counter()
        """How often each photo was sent in full."""
        self.counts: Counter[str] = Counter()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        self.connections += 1
        try:
            while request := await reader.readuntil(b"\r\n\r\n"):
                if not await self._answer(request.split(b" ", 2)[1].decode("latin-1"), writer):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False where the connection ends with it."""
        if path == "/log":
            self._send(writer, "200 OK", json.dumps(self.log()).encode(), "application/json")
            return True
        if path == "/sent":
            sent = [self.whole[photo] for photo in range(self.photos)]
            self._send(writer, "200 OK", json.dumps(sent).encode(), "application/json")
            return True
        name = path.strip("/").removesuffix(".jpg")
        if not name.isdigit() or int(name) >= self.photos:
            self._send(writer, "404 Not Found", b"no such photo", "text/plain")
            return True
        photo = int(name)
        self.asked[photo] += 1
        fault = self.faults.of(photo, self.asked[photo])
        await asyncio.sleep(self.faults.latency)
        self.counts[fault or "whole"] += 1
        if fault == "busy":
            self._send(writer, "503 Service Unavailable", b"come again", "text/plain")
            return True
        data = photo_bytes(self.bases, photo)
        if not fault:
            self.whole[photo] += 1
            self._send(writer, "200 OK", data, "image/jpeg", f'ETag: "{hashlib.md5(data).hexdigest()}"\r\n')
            await writer.drain()
            return True
        head = f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data[: len(data) // 2])
        await writer.drain()
        if fault == "reset":
            # Lingering for 0 seconds makes the system send RST in place of FIN.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return False

    def _send(self, writer: asyncio.StreamWriter, status: str, data: bytes, kind: str, more: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n{more}\r\n"
        writer.write(head.encode() + data)

    def log(self) -> dict[str, int]:
        """What was counted so far."""
        repeated = sum(count - 1 for count in self.whole.values())
        counts = {name: self.counts[name] for name in ("whole", "busy", "reset", "truncated")}
        return {"requests": sum(self.asked.values()), "connections": self.connections, "sent_again": repeated, **counts}


async def run(server: FaultyServer) -> None:
    """Serve until standard input is closed."""
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, backlog=1024)
    print(json.dumps({"url": f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps(server.log()), flush=True)
    listening.close()


def main() -> None:
    """Serve as the options say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--latency-ms", type=float, default=30)
    for name in ("busy", "resets", "truncated"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help="share of requests, 0 to 1")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    faults = Faults(args.latency_ms / 1000, args.busy, args.resets, args.truncated, args.seed)
    asyncio.run(run(FaultyServer(args.photos, faults)))


if __name__ == "__main__":
    main()
