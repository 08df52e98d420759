"""A client of the protocol for Python, with the library `websockets`, written by docs/protocol.md alone.

One JSON object a line in (what to do), one a line out (what happened). Usage: python peer.py HOST:PORT CERTIFICATE STATE_FILE
Its position in the room is kept in STATE_FILE, so that it can be killed and go on. Unlike its sister for Node it says `hold`: live
events wait until the room was resumed, so nothing has to be sorted.
"""

import asyncio
import json
import os
import random
import ssl
import sys
import time
import urllib.request
import uuid

from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import ConnectionClosed

SERVER, CERTIFICATE, STATE_FILE = sys.argv[1:4]
TLS = ssl.create_default_context(cafile=CERTIFICATE)


def tell(event):
    print(json.dumps(event), flush=True)


def uuid7():
    value = int(time.time() * 1000) << 80 | random.getrandbits(80)
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return str(uuid.UUID(int=value))


class Peer:
    def __init__(self):
        self.state = {"rooms": {}}
        if os.path.exists(STATE_FILE):
            with open(STATE_FILE, encoding="utf8") as file:
                self.state = json.load(file)
        self.token = None
        self.me = None
        self.socket = None
        self.ready = asyncio.Event()
        self.waiting = {}
        self.to_send = []

    def keep(self):
        with open(STATE_FILE + ".new", "w", encoding="utf8") as file:
            json.dump(self.state, file)
        os.replace(STATE_FILE + ".new", STATE_FILE)

    async def rest(self, method, path, body=None):
        def call():
            request = urllib.request.Request(f"https://{SERVER}/api/v1/{path}", method=method)
            request.add_header("content-type", "application/json")
            if self.token:
                request.add_header("authorization", f"Bearer {self.token}")
            data = json.dumps(body).encode() if body is not None else None
            with urllib.request.urlopen(request, data, context=TLS, timeout=60) as answer:
                return json.load(answer)

        return await asyncio.to_thread(call)

    async def send(self, frame):
        await self.socket.send(json.dumps(frame))

    async def ask(self, frame):
        frame["id"] = uuid7()
        answer = self.waiting[frame["id"]] = asyncio.get_running_loop().create_future()
        await self.send(frame)
        return await answer

    async def live(self):
        """Stays connected until told to stop."""
        while True:
            try:
                async with open_socket(f"wss://{SERVER}/ws/chat", ssl=TLS, max_size=None) as self.socket:
                    metadata = {"hold": True}
                    if "device_id" in self.state:
                        metadata["device_id"] = self.state["device_id"]
                    await self.send({"type": "auth", "content": self.token, "metadata": metadata})
                    async for text in self.socket:
                        assert isinstance(text, str), "the server sends text frames only"
                        await self.frame(json.loads(text))
            except (ConnectionClosed, OSError):
                pass
            self.ready.clear()
            code = self.socket.close_code if self.socket else None
            tell({"event": "closed", "code": code})
            if code is not None and 4400 <= code < 4500:
                return
            await asyncio.sleep(0.1 + random.random() / 5)

    async def frame(self, frame):
        kind, metadata = frame["type"], frame.get("metadata", {})
        if kind == "hello":
            await self.hello(frame)
        elif kind in ("chat", "delete", "join", "leave", "system"):
            self.event(frame)
        elif kind == "resumed":
            at = self.state["rooms"][frame["room_id"]]
            if at["seq"] < frame["seq"]:
                tell({"event": "hole", "from": at["seq"], "to": frame["seq"]})
                at["seq"] = frame["seq"]
                self.keep()
            if metadata["more"]:
                await self.resume([frame["room_id"]])
        elif kind == "reload":
            tell({"event": "reload", "reason": metadata["reason"]})
        elif kind == "resync":
            await self.resume([frame["room_id"]])
        elif kind in ("ack", "error") and self.to_send and frame.get("id") == self.to_send[0]["id"]:
            await self.answered(frame)
        elif frame.get("id") in self.waiting:
            self.waiting.pop(frame["id"]).set_result(frame)

    async def hello(self, frame):
        self.me = frame["user_id"]
        self.state["device_id"] = frame["metadata"]["device_id"]
        for room in frame["metadata"]["rooms"]:
            self.state["rooms"].setdefault(room["room_id"], {"epoch": room["epoch"], "seq": room["last_seq"]})
        self.keep()
        # With `hold` every room waits until it was resumed.
        await self.resume([room["room_id"] for room in frame["metadata"]["rooms"]])
        tell({"event": "hello", "user_id": self.me, "rooms": len(frame["metadata"]["rooms"])})
        self.ready.set()
        if self.to_send:
            await self.push()

    async def resume(self, rooms):
        if rooms:
            places = [{"room_id": room, **self.state["rooms"][room]} for room in rooms]
            await self.send({"type": "resume", "metadata": {"rooms": places}})

    def event(self, event):
        room, seq = event["room_id"], event["seq"]
        at = self.state["rooms"].setdefault(room, {"epoch": event["metadata"]["epoch"], "seq": seq - 1})
        if seq <= at["seq"]:
            return
        if seq > at["seq"] + 1:
            # With `hold`, and one send at a time, nothing may come out of turn.
            tell({"event": "hole", "from": at["seq"], "to": seq})
        at["seq"] = seq
        self.keep()
        tell(
            {
                "event": event["type"],
                "seq": seq,
                "user_id": event["user_id"],
                "content": event.get("content"),
                "number": event["metadata"]["number"],
                "mine": event["user_id"] == self.me,
            }
        )

    async def push(self):
        first = self.to_send[0]
        await self.send({"type": "chat", "id": first["id"], "room_id": first["room"], "content": first["content"]})

    async def answered(self, frame):
        first = self.to_send[0]
        if frame["type"] == "error" and "retry_after_ms" in frame["metadata"]:
            await asyncio.sleep(frame["metadata"]["retry_after_ms"] / 1000)
            await self.push()
            return
        self.to_send.pop(0)
        if frame["type"] == "error":
            tell({"event": "refused", "id": frame["id"], "code": frame["metadata"]["code"]})
        else:
            duplicate = frame["metadata"].get("duplicate", False)
            tell({"event": "acked", "id": frame["id"], "seq": frame["seq"], "message_id": frame["message_id"], "duplicate": duplicate})
            self.event({**frame, "type": "chat", "user_id": self.me, "content": first["content"]})
        if self.to_send:
            await self.push()

    async def command(self, command):
        what = command["do"]
        if what in ("signup", "login"):
            body = {"username": command["username"], "password": command["password"]}
            if "device_id" in self.state:
                body["device_id"] = self.state["device_id"]
            self.token = (await self.rest("POST", f"auth/{what}", body))["access_token"]
            tell({"event": "signed_in"})
        elif what == "connect":
            self.living = asyncio.create_task(self.live())
            await self.ready.wait()
        elif what == "create":
            room = await self.rest("POST", "chat/rooms", {"name": command["name"], "type": "public"})
            self.state["rooms"].setdefault(room["room_id"], {"epoch": room["epoch"], "seq": room["last_seq"]})
            tell({"event": "room", "room_id": room["room_id"]})
        elif what == "find":
            rooms = (await self.rest("GET", "chat/rooms"))["rooms"]
            tell({"event": "room", "room_id": next(r["room_id"] for r in rooms if r.get("name") == command["name"])})
        elif what == "join":
            answer = await self.ask({"type": "join", "room_id": command["room"]})
            assert answer["type"] == "ack", answer
            room = answer["metadata"]["room"]
            self.state["rooms"].setdefault(command["room"], {"epoch": room["epoch"], "seq": room["last_seq"]})
            tell({"event": "joined", "room_id": command["room"]})
        elif what == "say":
            self.to_send.append({"id": command.get("id") or uuid7(), "room": command["room"], "content": command["content"]})
            if len(self.to_send) == 1 and self.ready.is_set():
                await self.push()
        elif what == "history":
            answer = await self.ask({"type": "history", "room_id": command["room"], "metadata": {"limit": command["limit"]}})
            messages = [[m["seq"], m["type"], m.get("content")] for m in answer["metadata"]["messages"]]
            tell({"event": "history", "messages": messages})
        else:
            raise ValueError(what)


async def main():
    peer = Peer()
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        command = json.loads(line)
        if command["do"] == "quit":
            break
        await peer.command(command)
    if peer.socket is not None:
        peer.living.cancel()
        await peer.socket.close()


asyncio.run(main())
