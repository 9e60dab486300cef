"""The control stream's frames: four bytes of length, then JSON. Small enough to read with `nc`."""

import asyncio
from typing import Any

import msgspec

FRAME_MAX_BYTES = 1 << 20


async def read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    """One frame; IncompleteReadError at the end, ValueError for anything that is none."""
    length = int.from_bytes(await reader.readexactly(4), "big")
    if length > FRAME_MAX_BYTES:
        raise ValueError(f"a control frame of {length} bytes")
    frame = msgspec.json.decode(await reader.readexactly(length))
    if not isinstance(frame, dict):
        raise ValueError("a control frame is an object")
    return frame


def write_frame(writer: asyncio.StreamWriter, frame: object) -> None:
    """Send one frame."""
    content = msgspec.json.encode(frame)
    writer.write(len(content).to_bytes(4, "big") + content)
