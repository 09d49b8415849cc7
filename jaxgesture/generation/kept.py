"""Folders of results that are gone on with: only by what began them."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any

from jaxgesture.core import strict_json
from jaxgesture.core.errors import UserError

RECORD = "made.json"


def begin(folder: pathlib.Path, record: Mapping[str, Any]) -> None:
    """Makes a folder with a record of what is made in it; keeps one with the same record.

    Raises:
      UserError: it holds something else, or cannot be written.
    """
    wanted = json.loads(strict_json.dumps(record))
    file = folder / RECORD
    try:
        # A record alone was left by something that failed before it made anything.
        if file.exists() and any(path != file for path in folder.iterdir()):
            if json.loads(file.read_text()) != wanted:
                raise UserError(
                    f"{folder} holds videos of other models, clips or options; give another --out, "
                    "or delete it"
                )
            return
        if folder.exists() and any(path != file for path in folder.iterdir()):
            raise UserError(
                f"{folder} is not empty and not made by this command; give another --out"
            )
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(strict_json.dumps(record))
    except json.JSONDecodeError as error:
        raise UserError(f"{file} is damaged; delete {folder} and begin anew") from error
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error
