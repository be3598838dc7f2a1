"""Which containers are read, and how files of each are called: one table for readers and scans."""

from __future__ import annotations

# FFmpeg's name of each container -> the endings of its video files. Containers that hold their own
# pictures: none of these opens another file. Endings that mostly mean sound or stills (.ogg, .m4a,
# .dat, .mpo) are not here; such a file can be read when it is named itself.
CONTAINERS: dict[str, tuple[str, ...]] = {
    "mov": (".mov", ".qt"),
    "mp4": (".mp4", ".f4v", ".ism", ".ismv", ".psp"),
    "m4a": (),
    "3gp": (".3gp", ".3gpp"),
    "3g2": (".3g2", ".3gp2"),
    "mj2": (".mj2",),
    "matroska": (".mkv", ".mk3d"),
    "webm": (".webm",),
    "avi": (".avi", ".divx", ".xvid"),
    "mpegts": (".ts", ".m2t", ".m2ts", ".mts", ".tod", ".trp"),
    "mpeg": (".mpeg", ".mpg", ".mpe", ".m2p", ".vob", ".vro", ".evo"),
    "mpegvideo": (".m1v", ".m2v", ".mp2v", ".mpv", ".mpv2"),
    "flv": (".flv",),
    "asf": (".asf", ".wmv", ".dvr-ms"),
    "ogg": (".ogv", ".ogm", ".ogx"),
    "gif": (".gif",),
    "h264": (".h264", ".264", ".avc", ".h26l"),
    "hevc": (".hevc", ".h265", ".265"),
    "vvc": (".vvc", ".h266", ".266"),
    "m4v": (".m4v",),
    "av1": (".av1",),
    "obu": (".obu",),
    "ivf": (".ivf",),
    "mxf": (".mxf",),
    "nut": (".nut",),
    "dv": (".dv", ".dif"),
    "rm": (".rm", ".rmvb"),
    "wtv": (".wtv",),
    "mjpeg": (".mjpeg", ".mjpg"),
    "apng": (".apng",),
    "y4m": (),
    "yuv4mpegpipe": (".y4m",),
    "h261": (".h261",),
    "h263": (".h263",),
    "vc1": (".vc1",),
}

VIDEO_SUFFIXES = frozenset(suffix for suffixes in CONTAINERS.values() for suffix in suffixes)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
