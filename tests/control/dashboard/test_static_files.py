"""The files of the dashboard keep to the rules of the page: sizes, one noun a module, nothing inline, nothing parsed as HTML."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from router.control.dashboard.static_files import FOLDER, INDEX, MEDIA_TYPES, load

SENT_BYTES_MAX = 60_000
LINES_MAX = 400
MODULES = sorted(FOLDER.glob("*.js"))
IMPORT = re.compile(r'^import (?:\* as \w+|\{([^}]*)\}) from "\./([a-z-]+\.js)";$', re.MULTILINE)


def exported(path: Path) -> set[str]:
    return set(re.findall(r"^export (?:async )?(?:const|function|class) (\w+)", path.read_text(), re.MULTILINE))


def test_the_page_is_small_as_it_is_sent() -> None:
    sent = {name: len(file.compressed) for name, file in load().files.items()}
    assert sum(sent.values()) < SENT_BYTES_MAX, sent


def test_every_file_has_a_media_type() -> None:
    assert {path.suffix for path in FOLDER.iterdir()} == set(MEDIA_TYPES)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_a_module_is_short_and_parses_nothing_as_html(module: Path) -> None:
    text = module.read_text("utf-8")
    assert len(text.splitlines()) <= LINES_MAX
    assert max(map(len, text.splitlines())) <= 130
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|\.style\b|style:", text
    )
    assert text.startswith("/* ")


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_what_a_module_imports_is_there(module: Path) -> None:
    for names, source in IMPORT.findall(module.read_text("utf-8")):
        assert {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()} <= exported(FOLDER / source)


def test_every_export_is_imported() -> None:
    imported = set()
    for module in MODULES:
        text = module.read_text("utf-8")
        for names, source in IMPORT.findall(text):
            whole = re.search(rf'\* as (\w+) from "\./{source}"', text)
            found = re.findall(rf"{whole[1]}\.(\w+)", text) if whole else names.split(",")
            imported |= {(source, name.split(" as ")[0].strip()) for name in found if name.strip()}
    tested = {("stream.js", "Events"), ("stream.js", "merged")}
    assert {(path.name, name) for path in MODULES for name in exported(path)} - imported - tested == set()


def test_the_page_has_nothing_inline_and_asks_for_every_module_at_once() -> None:
    page = (FOLDER / INDEX).read_text("utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\bsrc=)|https?:|//[a-z]", page)
    asked = re.findall(r'(?:modulepreload" href|module" src)="dashboard/([a-z-]+\.js)"', page)
    assert sorted(asked) == [path.name for path in MODULES]


def test_each_reference_has_the_hash_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script type="module" src="dashboard/a.js"></script>')
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\n')
    (tmp_path / "b.js").write_text('export const b = "./no-file";\n')
    first = load(tmp_path)
    assert (
        first.files["index.html"].plain
        == f'<script type="module" src="dashboard/a.js?v={first.version}"></script>'.encode()
    )
    assert first.files["a.js"].plain == f'import {{ b }} from "./b.js?v={first.version}";\n'.encode()
    assert first.files["b.js"].plain == b'export const b = "./no-file";\n'
    assert gzip.decompress(first.files["a.js"].compressed) == first.files["a.js"].plain
    (tmp_path / "b.js").write_text("export const b = 2;\n")
    load.cache_clear()
    second = load(tmp_path)
    assert second.version != first.version
    assert second.files["a.js"].etag != first.files["a.js"].etag
