"""Debian packages for other systems than this machine's own: the guest's kernel, the image. Nothing of this machine's packages is touched."""
import pathlib
import re
import subprocess

SUITE = "trixie"
# Zero-copy of virtio-net needs 6.13 or newer.
KERNEL = f"linux-image-amd64/{SUITE}-backports"
KEYS = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Apt:
    """apt with a state of its own, on no installed system. Without sources it has those of this machine."""

    def __init__(self, root, sources=None):
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        (root / "status").touch()
        settings = {"Dir::State": root / "state", "Dir::State::status": root / "status", "Dir::Cache": root / "cache",
                    "Dir::Etc::preferences": "/dev/null", "Dir::Etc::preferencesparts": "/dev/null", "Acquire::Languages": "none",
                    "APT::Architecture": "amd64", "APT::Architectures": "amd64", "APT::Sandbox::User": "root"}
        if sources:
            (root / "sources.list").write_text(sources)
            settings |= {"Dir::Etc::sourcelist": root / "sources.list", "Dir::Etc::sourceparts": "/dev/null"}
        self.options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def run(self, tool, *arguments, **kwargs):
        done = subprocess.run([tool, *self.options, *arguments], capture_output=True, text=True, check=False, **kwargs)
        if done.returncode != 0:
            raise SystemExit(f"{tool} {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def kernel_packages(self):
        """The packages that the kernel is split into, as NAME=VERSION."""
        depends = next(line for line in self.run("apt-cache", "show", KERNEL).splitlines() if line.startswith("Depends:"))
        release, version = re.search(r"linux-image-(\d\S+) \(= (\S+)\)", depends).groups()
        known = set(self.run("apt-cache", "pkgnames", "linux-").split())
        parts = [f"linux-{part}-{release}" for part in ("image", "binary", "modules", "base")]
        return [f"{name}={version}" for name in parts if name in known]

    def download(self, names, folder):
        """The packages' files, in that folder; what is there and whole is not asked for again."""
        self.run("apt-get", "-qq", "download", *names, cwd=folder)
        printed = self.run("apt-get", "-qq", "download", "--print-uris", *names, cwd="/")
        return [folder / line.split()[1] for line in printed.splitlines() if line]


def mirror(state, archive="Debian"):
    """The address that this machine has one of Debian's archives from: Debian or Debian-Security."""
    machine = Apt(state / "machine")
    # Which archive an address is shows once its lists are there; the machine's own may be (an image's are not).
    for own in (True, False):
        if not own:
            machine.run("apt-get", "-qq", "update")
        for line in subprocess.run(["apt-get", *([] if own else machine.options), "indextargets", "--format", "$(LABEL) $(REPO_URI)",
                                    "Created-By: Packages"], capture_output=True, text=True, check=True).stdout.splitlines():
            label, _, uri = line.partition(" ")
            if label == archive:
                return uri
    raise SystemExit(f"apt on this machine has no source of the archive {archive}")


def sources(state, components="main"):
    """Lines for sources.list: the suite with its updates, security updates and backports, from this machine's mirrors."""
    options = "arch=amd64" + (f" signed-by={KEYS}" if KEYS.exists() else "")
    main, security = mirror(state), mirror(state, "Debian-Security")
    suites = [(main, SUITE), (main, f"{SUITE}-updates"), (main, f"{SUITE}-backports"), (security, f"{SUITE}-security")]
    return "".join(f"deb [{options}] {uri} {suite} {components}\n" for uri, suite in suites)


def apt(state, components="main"):
    found = Apt(state / "apt", sources(state, components))
    found.run("apt-get", "-qq", "update")
    return found
