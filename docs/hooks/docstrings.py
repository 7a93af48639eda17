"""Prepares what griffe reads from the source for the pages of the API reference."""

import re
from typing import Any

import griffe

from tools.docstring_markdown import to_markdown


class DocstringMarkdown(griffe.Extension):
    """Docstrings as Markdown; attributes that a class's docstring explains are not listed twice."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_class_members(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        text = to_markdown(cls.docstring.value) if cls.docstring else ""
        for name, member in list(cls.members.items()):
            if member.is_attribute and re.search(rf"^ +{name}: ", text, re.MULTILINE):
                cls.del_member(name)
