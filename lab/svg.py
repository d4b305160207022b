"""SVG documents that need nothing else: no script, no font, no address."""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement


class Svg:
    """A picture of a size in pixels; attributes are those of SVG elements."""

    def __init__(self, title: str, width: int, height: int, look: Mapping[str, str]) -> None:
        self._root = Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "viewBox": f"0 0 {width} {height}",
                "role": "img",
                **look,
            },
        )
        SubElement(self._root, "title").text = title

    def add(self, name: str, **attributes: str) -> Element:
        """Add an element."""
        return SubElement(self._root, name, attributes)

    def as_text(self) -> str:
        """Return the document."""
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode") + "\n"
