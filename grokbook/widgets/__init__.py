"""What a reader moves and watches. Thin: layout and events here, numbers in `analysis`, pictures in `plots`."""

from grokbook.widgets.live import watch

__all__ = ["watch"]
