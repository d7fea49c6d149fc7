import platform

from herder.processor import processor_features, processor_name


def test_as_linux_tells(tmp_path):
    told = tmp_path / "cpuinfo"
    told.write_text(
        "processor\t: 0\nmodel\t\t: 7\nmodel name\t: Fast: one\nflags\t\t: avx2 vnni\n\nmodel name\t: Other\n"
    )
    assert processor_name(told) == "Fast: one"
    assert processor_features(told) == "avx2 vnni"
    told.write_text("Features\t: neon\n")
    assert processor_features(told) == "neon"


def test_where_linux_does_not_tell(tmp_path):
    assert processor_name(tmp_path / "none") == (platform.processor() or platform.machine())
    assert processor_features(tmp_path / "none") == ""
