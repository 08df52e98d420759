"""Autobahn's cases (as the package kosoku has them) against a wss:// server, since kosoku itself speaks ws:// only.

    python autobahn.py HOST:PORT PATH CERTIFICATE REPORT_DIRECTORY

Relays plain connections of kosoku to the server over TLS, runs groups 1-7, 9 and 10, and prints one JSON object: what each case
came to, and how the close went. Judges nothing itself.
"""

import asyncio
import json
import pathlib
import ssl
import sys

GROUPS = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*"]


async def copy(reader, writer):
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(server, path, certificate, reports):
    host, port = server.rsplit(":", 1)
    trust = ssl.create_default_context(cafile=certificate)

    async def relay(reader, writer):
        try:
            to = await asyncio.open_connection(host, int(port), ssl=trust, server_hostname="localhost")
        except (ConnectionError, ssl.SSLError) as error:
            print("the server cannot be reached:", error, file=sys.stderr)
            return writer.close()
        await asyncio.gather(copy(reader, to[1]), copy(to[0], writer))

    plain = await asyncio.start_server(relay, "127.0.0.1", 0)
    address = "ws://127.0.0.1:%d%s" % (plain.sockets[0].getsockname()[1], path)
    include = [word for group in GROUPS for word in ("-i", group)]
    kosoku = pathlib.Path(sys.executable).with_name("kosoku")
    run = await asyncio.create_subprocess_exec(
        str(kosoku), *include, "-o", reports, address, stdout=sys.stderr, stderr=sys.stderr
    )
    # Its exit status says nothing that the report does not.
    await run.wait()
    index = json.loads((pathlib.Path(reports) / "index.json").read_text())
    (cases,) = index.values()
    found = {case: [result["behavior"], result["behaviorClose"]] for case, result in cases.items()}
    order = sorted(found, key=lambda case: [int(part) for part in case.split(".")])
    print("{\n" + ",\n".join(f"  {json.dumps(case)}: {json.dumps(found[case])}" for case in order) + "\n}")


asyncio.run(main(*sys.argv[1:]))
