import platform

from mdibench.compute.engine import keep_freed_memory


def test_only_glibc_is_configured() -> None:
    assert keep_freed_memory() == (platform.libc_ver()[0] == "glibc")
