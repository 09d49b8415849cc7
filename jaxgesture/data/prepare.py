"""From videos, or the synthetic presenter, to a frame dataset."""

from jaxgesture.data.folder import prepare_folder
from jaxgesture.data.pats import missing_links, prepare_pats
from jaxgesture.data.prepare_report import PrepareReport
from jaxgesture.data.presenter_clips import prepare_presenter

__all__ = [
    "PrepareReport",
    "missing_links",
    "prepare_folder",
    "prepare_pats",
    "prepare_presenter",
]
