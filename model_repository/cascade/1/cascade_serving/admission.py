"""The limit on the images that are inside the cascade."""

from __future__ import annotations

import threading


class AdmissionLimit:
    """A counting semaphore over images, of which a request acquires all of its own at once or none."""

    def __init__(self, max_images: int) -> None:
        self._free = max_images
        self._changed = threading.Condition()  # guards _free

    def acquire(self, image_count: int, *, wait: bool) -> bool:
        """Admit some images.

        Args:
            image_count: How many, `max_images` at most.
            wait: Whether to block until they fit.

        Returns:
            Whether they were admitted; always true if `wait`.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: image_count <= self._free)
            if image_count > self._free:
                return False
            self._free -= image_count
            return True

    def release(self, image_count: int) -> None:
        """Count some images as gone."""
        with self._changed:
            self._free += image_count
            self._changed.notify_all()  # not notify: a smaller request may fit where the one woken does not
