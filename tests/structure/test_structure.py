"""The house rules that a program can check."""
import pathlib
import re
import unittest

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
FIRMWARE = TOP / "firmware"

# What each folder may include, itself aside. The mains may include everything.
ALLOWED = {
    "base": set(),
    "packet": {"base"},
    "port": {"base", "packet"},
    "engine": {"base", "packet", "port"},
    "compile": {"base", "packet", "port", "engine", "proto"},
    "config": {"base", "proto"},
    "system": {"base"},
    "api": {"base", "proto", "config", "system"},
}
MAINS = {"sluiced", "sluice-mgmt", "sluice-setup", "sluice-console", "sluicectl", "sluice-replay"}
# Libraries that the packet path never sees.
FORBIDDEN = {"packet": ("google/", "boost/", "SQLiteCpp", "openssl/"), "port": ("google/", "boost/", "SQLiteCpp", "openssl/"),
             "engine": ("google/", "boost/", "SQLiteCpp", "openssl/")}


def sources():
    for path in sorted(FIRMWARE.rglob("*")):
        if path.suffix in {".h", ".cpp", ".c"}:
            yield path


def includes(path):
    return re.findall(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', path.read_text(), re.MULTILINE)


def wrong_directions(folder, included):
    """The includes of a file in `folder` that point the wrong way."""
    wrong = []
    for name in included:
        first = "proto" if name.startswith("sluice/v1/") else name.split("/")[0]
        if first in ALLOWED | {"proto": None} and first != folder and folder in ALLOWED and first not in ALLOWED[folder]:
            wrong.append(name)
        if first in MAINS and folder != first:
            wrong.append(name)
        if any(name.startswith(library) for library in FORBIDDEN.get(folder, ())):
            wrong.append(name)
    return wrong


# The turn of a snapshot, the table that all workers share, and rates that they keep together, once a burst.
MAY_LOCK = {"engine/publish.cpp": ["fetch_add"], "engine/dedup/table.cpp": ["__sync_bool_compare_and_swap"],
            "engine/dedup/survey.cpp": ["compare_exchange_strong", ".exchange("],
            "engine/rate_limit.cpp": ["compare_exchange_weak", "fetch_add"]}


def locks(text):
    """What makes a thread wait for another, or a core for another's cache line. publish() is the control thread's: it may."""
    return re.findall(r"<mutex>|<shared_mutex>|<condition_variable>|<semaphore>|fetch_\w+|compare_exchange_\w+|\.exchange\(|__sync_\w+", text)


class Structure(unittest.TestCase):
    def test_dependencies_point_one_way(self):
        for path in sources():
            folder = path.relative_to(FIRMWARE).parts[0]
            self.assertEqual(wrong_directions(folder, includes(path)), [], f"{path.relative_to(TOP)} includes what {folder}/ may not")

    def test_a_wrong_direction_is_noticed(self):
        self.assertEqual(wrong_directions("packet", ["engine/snapshot.h"]), ["engine/snapshot.h"])
        self.assertEqual(wrong_directions("engine", ["sluice/v1/config.pb.h"]), ["sluice/v1/config.pb.h"])
        self.assertEqual(wrong_directions("port", ["boost/json.hpp"]), ["boost/json.hpp"])

    def test_no_lock_and_no_read_modify_write_on_the_packet_path(self):
        for path in sources():
            if path.relative_to(FIRMWARE).parts[0] in {"packet", "port", "engine"}:
                self.assertEqual(locks(path.read_text()), MAY_LOCK.get(path.relative_to(FIRMWARE).as_posix(), []), str(path.relative_to(TOP)))

    def test_a_lock_is_noticed(self):
        self.assertEqual(locks("#include <mutex>"), ["<mutex>"])
        self.assertEqual(locks("while (!flag.compare_exchange_weak(a, b)) {"), ["compare_exchange_weak"])

    def test_every_folder_says_what_it_is_for(self):
        for folder in sorted(p for p in FIRMWARE.iterdir() if p.is_dir()):
            self.assertTrue((folder / "README.md").exists(), f"{folder.relative_to(TOP)} has no README.md")
        self.assertTrue((FIRMWARE / "README.md").exists())

    def test_beast_and_asio_are_included_by_at_most_three_files(self):
        users = [p for p in sources() if any(i.startswith(("boost/beast", "boost/asio")) for i in includes(p))]
        self.assertLessEqual(len(users), 3, [str(p) for p in users])

    def test_files_can_be_read_in_one_sitting(self):
        for path in sources():
            self.assertLessEqual(len(path.read_text().splitlines()), 450, str(path.relative_to(TOP)))


if __name__ == "__main__":
    unittest.main()
