"""What a program's author sees: an installed tree, pkg-config, both libraries, only p2ps_* outside, C and C++."""
import glob
import os
import re
import shutil
import subprocess

from harness import check

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def sh(*cmd, env=None, **more):
    p = subprocess.run(cmd, capture_output=True, text=True, timeout=300, check=False, env=env, **more)
    check(p.returncode == 0, f"{' '.join(cmd)}: {p.stdout} {p.stderr}")
    return p.stdout


def test_an_installed_library_can_be_built_against(net):
    if "__asan_init" in sh("nm", "-D", net.p2ps):
        return  # a sanitizer's runtime would be part of what is installed
    dest = os.path.join(net.dir, "dest")
    sh("meson", "install", "-C", net.build, "--no-rebuild", "--quiet", env=dict(os.environ, DESTDIR=dest))
    pc = glob.glob(dest + "/**/p2ps.pc", recursive=True)
    check(len(pc) == 1, f"pkg-config files: {pc}")
    prefix = dest + "/" + re.search(r"^prefix=/?(.*)$", open(pc[0], encoding="utf-8").read(), re.M).group(1)
    env = dict(net.env, PKG_CONFIG_PATH=os.path.dirname(pc[0]), PKG_CONFIG_SYSROOT_DIR=dest)
    flags = sh("pkg-config", "--cflags", "--libs", "p2ps", env=env).split()
    exe = os.path.join(net.dir, "chat")
    sh("cc", "-std=c17", "-Wall", "-Werror", "-o", exe, os.path.join(ROOT, "examples", "chat.c"), *flags)
    static = sh("pkg-config", "--static", "--cflags", "--libs", "p2ps", env=env).split()
    archive = glob.glob(dest + "/**/libp2ps.a", recursive=True)
    check(len(archive) == 1, "the static library is not installed")
    sh("cc", "-std=c17", "-o", exe + "-static", os.path.join(ROOT, "examples", "chat.c"), archive[0],
       *[f for f in static if f != "-lp2ps"])
    shared = [f for f in glob.glob(dest + "/**/libp2ps.so*", recursive=True) if not os.path.islink(f)]
    check(len(shared) == 1, f"shared libraries: {shared}")
    names = [line.split()[-1] for line in sh("nm", "-D", "--defined-only", shared[0]).splitlines()]
    strange = [n for n in names if not re.match(r"p2ps_\w+@@P2PS_|P2PS_", n)]
    check(names and not strange, f"exported: {strange}")
    header = open(os.path.join(prefix, "include", "p2ps.h"), encoding="utf-8").read()
    declared = set(re.findall(r"^P2PS_API [^;(]*?\b(p2ps_\w+)\(", header, re.M))
    exported = {n.split("@")[0] for n in names if n.startswith("p2ps_")}
    check(declared == exported, f"declared and exported differ: {declared ^ exported}")
    headers = [f for f in glob.glob(dest + "/**/*.h", recursive=True)]
    check([os.path.basename(h) for h in headers] == ["p2ps.h"], f"headers: {headers}")
    if shutil.which("g++"):
        source = os.path.join(net.dir, "x.cpp")
        with open(source, "w", encoding="utf-8") as f:
            f.write('#include <p2ps.h>\nint main() { p2ps_config *c = p2ps_config_new(); p2ps_config_free(&c); return 0; }\n')
        sh("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-o", exe + "++", source, *flags)
    p2ps = os.path.join(prefix, "bin", "p2ps")
    check("p2ps" in sh(p2ps, "version"), "the installed command does not run")
