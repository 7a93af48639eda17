"""Docstrings as the pages of the API reference show them."""

import inspect

from tools.docstring_markdown import to_markdown


def check(docstring, expected):
    assert to_markdown(inspect.cleandoc(docstring)) == inspect.cleandoc(expected)


def test_plain_text_stays():
    text = "One line.\n\n    w = T (1 - exp(-density length))\n\nArgs:\n  a: `[]`, see: `b`."
    assert to_markdown(text) == text


def test_an_example_becomes_a_block_of_code():
    check(
        """
        Adds.

        >>> add(
        ...     1, 2
        ... )
        3

        >>> add(1, 1)
        2
        """,
        """
        Adds.

        ```pycon
        >>> add(
        ...     1, 2
        ... )
        3
        ```

        ```pycon
        >>> add(1, 1)
        2
        ```
        """,
    )


def test_an_entry_of_two_names_becomes_two():
    check(
        """
        Args:
          near, far: `[...]`, in scene units:
            a second line.
          name: one.

        Returns:
          near, far: as they were.
        """,
        """
        Args:
          near: `[...]`, in scene units:
            a second line.
          far: `[...]`, in scene units:
            a second line.
          name: one.

        Returns:
          near, far: as they were.
        """,
    )


def test_a_full_name_becomes_a_link():
    check(
        "See `nerf.field.register`, `python -m nerf.main`, `register` and ``nerf.field``.",
        "See [`nerf.field.register`][nerf.field.register], `python -m nerf.main`, `register` and "
        "``nerf.field``.",
    )


def test_a_member_of_a_class_becomes_a_link_to_the_class():
    check(
        "See `nerf.field.FieldSpec.presets` and `nerf.captures.formats.FORMATS`.",
        "See [`nerf.field.FieldSpec.presets`][nerf.field.FieldSpec] and "
        "[`nerf.captures.formats.FORMATS`][nerf.captures.formats.FORMATS].",
    )
