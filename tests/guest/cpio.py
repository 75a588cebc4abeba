"""Writes initramfs archives in the kernel's "newc" format (Documentation/driver-api/early-userspace/buffer-format.rst)."""
import pathlib
import stat


class Archive:
    """Several archives may follow each other in one file: the kernel unpacks them all, a later file over an earlier one."""

    def __init__(self):
        self.blob = bytearray()
        self.known = set()

    def add(self, name, data, mode=stat.S_IFREG | 0o755):
        name = name.strip("/")
        if name in self.known:
            return
        for parent in reversed(list(pathlib.PurePosixPath(name).parents)[:-1]):
            if str(parent) not in self.known:
                self._entry(str(parent), b"", stat.S_IFDIR | 0o755)
        self._entry(name, data, mode)

    def _entry(self, name, data, mode):
        self.known.add(name)
        # inode, mode, uid, gid, links, mtime, size, device of the file (2), device that it is (2), name's length, checksum
        fields = (len(self.known), mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        self.blob += b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        self._pad()
        self.blob += data
        self._pad()

    def _pad(self):
        self.blob += bytes(-len(self.blob) % 4)

    def finish(self):
        self._entry("TRAILER!!!", b"", 0)
        return bytes(self.blob)
