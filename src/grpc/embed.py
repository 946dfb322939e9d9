"""Writes the bytes of a file as C:  embed.py IN OUT NAME"""
import pathlib
import sys

data = pathlib.Path(sys.argv[1]).read_bytes()
rows = ",\n".join("    " + ", ".join(map(str, data[at:at + 16])) for at in range(0, len(data), 16))
name = sys.argv[3]
pathlib.Path(sys.argv[2]).write_text(
    f"#include <stddef.h>\n#include <stdint.h>\n\nextern const uint8_t {name}[];\nextern const size_t {name}_len;\n"
    f"const uint8_t {name}[] = {{\n{rows},\n}};\nconst size_t {name}_len = {len(data)};\n")
