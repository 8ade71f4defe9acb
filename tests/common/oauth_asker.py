"""A process that asks for its tokens in fifty calls at once, each time that it reads a line.

The line ``refused`` says that the facility did not take those of before.
"""

from __future__ import annotations

import asyncio
import json
import sys

from iri_common.auth.keeper import TokenKeeper
from iri_common.facility.profiles import load_profile
from iri_common.http.transport import HttpxTransport, WireSettings
from iri_common.model.errors import IriError

CALLS = 50


async def main(profiles: list[str]) -> None:
    sources = [load_profile(each).token for each in profiles]
    transport = HttpxTransport(WireSettings(read_seconds=20.0))
    keepers = [TokenKeeper(each, transport.send) for each in sources if each is not None]
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        try:
            if line.strip() == "refused":
                for keeper in keepers:
                    keeper.refused(await keeper.token())
            tokens = await asyncio.gather(*(each.token() for each in keepers * CALLS))
            print(json.dumps(sorted({each.value for each in tokens})), flush=True)
        except IriError as error:
            print(error, flush=True)
    await transport.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
