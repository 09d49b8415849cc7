"""Datasets on disk: frames with audio features (stage 1), and motion features (stage 2)."""

from jaxgesture.data.clips import ClipData
from jaxgesture.data.frame_writer import write_frames
from jaxgesture.data.frames import ClipInfo, FrameDataset
from jaxgesture.data.motions import MotionClip, MotionDataset, MotionInfo, write_motion

__all__ = [
    "ClipData",
    "ClipInfo",
    "FrameDataset",
    "MotionClip",
    "MotionDataset",
    "MotionInfo",
    "write_frames",
    "write_motion",
]
