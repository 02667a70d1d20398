"""Photos: looked at, bounded, re-encoded without metadata, before anything is stored."""

import asyncio
import io

from gateway.flow.receive import Photo
from gateway.web.problems import FieldFault, Wrong

_MOST_PIXELS = 40_000_000
_LONGEST_SIDE = 2048
_TYPES = ("JPEG", "PNG", "WEBP")


async def look_at(content: bytes) -> Photo:
    """Check and re-encode a picture in a thread. Raises `Wrong` 400 when it is none, or too large."""
    return await asyncio.to_thread(clean, content)


def clean(content: bytes) -> Photo:
    """Re-encode a JPEG, PNG or WebP as JPEG, upright, at most 2048 pixels a side, without EXIF and GPS.

    The same bytes give the same photo. Raises `Wrong` 400 for anything else.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415  (most gateways never see a photo)

    try:
        with Image.open(io.BytesIO(content), formats=_TYPES) as probe:
            if probe.width * probe.height > _MOST_PIXELS:
                raise _no(f"more than {_MOST_PIXELS} pixels")
            probe.verify()
        with Image.open(io.BytesIO(content), formats=_TYPES) as picture:
            upright = ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError) as bad:
        raise _no("not a JPEG, PNG or WebP picture") from bad
    upright.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    bare = Image.new("RGB", upright.size)
    bare.paste(upright)
    out = io.BytesIO()
    bare.save(out, "JPEG", quality=85)
    return Photo(out.getvalue(), "image/jpeg")


def _no(message: str) -> Wrong:
    return Wrong(400, "the photo cannot be taken", (FieldFault("photo", message),))
