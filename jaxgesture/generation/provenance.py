"""The entry by which a video or picture says that it is synthetic, and what made it.

It is the comment of the file (MP4 "©cmt", WebM "COMMENT", PNG tEXt "Comment"): a sentence for
people, and the facts as JSON after it.

    synthetic: made by jaxgesture 0.1.0 {"digital_source_type": "http://...", "seed": 0, ...}

MP4 and PNG hold an XMP packet besides, with the IPTC's Digital Source Type, as the IPTC asks of
programs that make media with trained models; WebM has no agreed place. The entry has no key of its
own: in MP4 FFmpeg writes other keys only in place of the tags that all readers know ("mdta" for
"ilst"), and leaves them out of its copies.

Nothing in it depends on the time or the machine: the same call gives the same entry.
"""

import contextlib
import json
import os
import pathlib
import struct
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jaxgesture
from jaxgesture.core.errors import UserError
from jaxgesture.data.container import check_file, open_media

if TYPE_CHECKING:
    from PIL.PngImagePlugin import PngInfo

# https://cv.iptc.org/newscodes/digitalsourcetype
DIGITAL_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_OPENING = "synthetic: made by "
_MADE_BY = f"{_OPENING}jaxgesture {jaxgesture.__version__}"
# Of the box that holds the XMP packet of an MP4 file (ISO 16684-3).
_XMP_BOX = uuid.UUID("be7acfcb-97a9-42e8-9c71-999491e3afac")
_XMP_PNG = "XML:com.adobe.xmp"
_XMP = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    xmp:CreatorTool="jaxgesture {jaxgesture.__version__}"
    Iptc4xmpExt:DigitalSourceType="{DIGITAL_SOURCE_TYPE}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""


class Entry(NamedTuple):
    """What a file says of its making.

    Attributes:
      sentence: "synthetic: made by jaxgesture VERSION".
      facts: hashes of picture, recording and weights, the seed and the other options.
    """

    sentence: str
    facts: dict[str, Any]


def describe(facts: Mapping[str, Any]) -> str:
    """The entry as text, in ASCII."""
    about = {"digital_source_type": DIGITAL_SOURCE_TYPE, **facts}
    return f"{_MADE_BY} {json.dumps(about)}"


def parse(text: str) -> Entry | None:
    """The entry that a comment is; None where it is another text."""
    sentence, brace, facts = text.partition(" {")
    if not text.startswith(_OPENING) or not brace:
        return None
    with contextlib.suppress(ValueError):
        return Entry(sentence, json.loads("{" + facts))
    return None


def read(path: str | os.PathLike[str]) -> Entry | None:
    """The entry of a video or PNG picture; None where it has none.

    Raises:
      UserError: missing, or no such file.
    """
    if pathlib.Path(path).suffix.lower() == ".png":
        texts = _png_texts(path)
    else:
        with open_media(path, "video") as container:
            texts = dict(container.metadata)
    found = [text for name, text in texts.items() if name.lower() == "comment"]
    return parse(found[0]) if found else None


def _png_texts(path: str | os.PathLike[str]) -> dict[str, str]:
    from PIL import Image

    file = check_file(path)
    try:
        with Image.open(file, formats=["PNG"]) as picture:
            # Texts may stand behind the pixels.
            picture.load()
            return {str(name): str(text) for name, text in picture.info.items()}
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path} is not a readable PNG picture; copy it again") from error


def mp4_box() -> bytes:
    """The XMP packet as a box that may follow the others of an MP4 file."""
    packet = _XMP.encode()
    return struct.pack(">I4s", 24 + len(packet), b"uuid") + _XMP_BOX.bytes + packet


def png_info(text: str) -> "PngInfo":
    """The entry and the XMP packet, for a PNG picture."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", text)
    info.add_itxt(_XMP_PNG, _XMP)
    return info
